import type { Measured } from './load.ts'

/** A table of medians, and ratios of the first peer, which is Bindery, to each other. */
export function report(
  title: string,
  rounds: ReadonlyMap<string, readonly Measured[]>,
  seconds: number,
): string {
  const medians = [...rounds].map(([name, measured]) => ({
    name,
    rps: median(measured.map((m) => m.requestsPerSecond)),
    spread: spread(measured.map((m) => m.requestsPerSecond)),
    p50: median(measured.map((m) => m.p50Ms)),
    p99: median(measured.map((m) => m.p99Ms)),
    cpu: median(measured.map((m) => m.cpuPerRequestUs)),
    failed: measured.reduce((sum, m) => sum + m.failed, 0),
  }))
  const ours = medians[0]
  const count = Math.max(...[...rounds.values()].map((measured) => measured.length))
  const lines = medians.map(
    (m) =>
      `  ${m.name.padEnd(10)} ${m.rps.toFixed(0).padStart(7)} req/s (${m.spread})  p50 ${m.p50.toFixed(2).padStart(6)} ms  p99 ${m.p99.toFixed(2).padStart(7)} ms  CPU ${m.cpu.toFixed(0).padStart(5)} µs/req  failed ${m.failed}` +
      (ours && m !== ours
        ? `   bindery: ${(ours.rps / m.rps).toFixed(2)}× its throughput, ${(ours.cpu / m.cpu).toFixed(2)}× its CPU`
        : ''),
  )
  return `${title}, medians of ${count} rounds of ${seconds} s\n${lines.join('\n')}\n`
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** The slowest round and the fastest: what the noise of the machine was. */
function spread(numbers: readonly number[]): string {
  return `${Math.min(...numbers).toFixed(0)}–${Math.max(...numbers).toFixed(0)}`.padStart(11)
}
