import { newestCall, systemCalls } from './system-calls.ts'

// A filter of system calls (seccomp(2)) as classic BPF: what is not listed kills the process.

export type Architecture = 'x64' | 'arm64'

type Name = keyof typeof systemCalls

/** What becomes of a call: allowed, or the error that it is answered. */
type Verdict = 'allow' | { readonly errno: number }

/** A call whose argument is looked at: allowed if `test` holds for its lower half. */
type Guard = {
  readonly call: Name
  readonly argument: number
  readonly test: { readonly equals: readonly number[] } | { readonly hasNone: number }
  readonly otherwise: Verdict
}

const eperm = 1
const enotty = 25
const enosys = 38
const eafnosupport = 97

const guards: readonly Guard[] = [
  // Unix sockets only, and nothing that could become another.
  { call: 'socket', argument: 0, test: { equals: [1] }, otherwise: { errno: eafnosupport } },
  { call: 'socketpair', argument: 0, test: { equals: [1] }, otherwise: { errno: eafnosupport } },
  // A thread, not a namespace: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
  { call: 'clone', argument: 0, test: { hasNone: 0x7e02_0000 }, otherwise: { errno: eperm } },
  // FIONREAD, FIONBIO, FIOCLEX; a terminal or a device has nothing to be told.
  {
    call: 'ioctl',
    argument: 1,
    test: { equals: [0x541b, 0x5421, 0x5451] },
    otherwise: { errno: enotty },
  },
]

// Its arguments are in memory, where a filter can't look: glibc asks `clone` instead.
const unavailable: readonly Name[] = ['clone3']

// Offsets in `struct seccomp_data`, both architectures being little-endian.
const numberAt = 0
const architectureAt = 4
const argumentsAt = 16

const auditNames: Readonly<Record<Architecture, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 }
/** Calls of the x32 ABI have this bit: they are other doors to the same calls. */
const x32Bit = 0x4000_0000

const killProcess = 0x8000_0000
const allow = 0x7fff_0000
const returnErrno = 0x0005_0000

const load = 0x20
const jumpIfEqual = 0x15
const jumpIfAtLeast = 0x35
const jumpIfGreater = 0x25
const jumpIfAny = 0x45
const give = 0x06

type Instruction = readonly [code: number, then: number, otherwise: number, value: number]

/** The program, as `bwrap --seccomp` takes it: `struct sock_filter` after `struct sock_filter`. */
export function seccompProgram(architecture: Architecture): Uint8Array {
  const instructions = [
    ...prologue(architecture),
    ...guards.flatMap((guard) => guarded(guard, numberOf(guard.call, architecture))),
    ...unavailable.flatMap((name) => when(numberOf(name, architecture), { errno: enosys })),
    ...plainCalls(architecture).flatMap((number) => when(number, 'allow')),
    returning(killProcess),
  ]
  const bytes = new DataView(new ArrayBuffer(instructions.length * 8))
  for (const [index, [code, then, otherwise, value]] of instructions.entries()) {
    bytes.setUint16(index * 8, code, true)
    bytes.setUint8(index * 8 + 2, then)
    bytes.setUint8(index * 8 + 3, otherwise)
    bytes.setUint32(index * 8 + 4, value, true)
  }
  return new Uint8Array(bytes.buffer)
}

function plainCalls(architecture: Architecture): readonly number[] {
  const special = new Set<string>([...guards.map(({ call }) => call), ...unavailable])
  return Object.entries(systemCalls)
    .filter(([name]) => !special.has(name))
    .flatMap(([, [x64, arm64]]) => (architecture === 'x64' ? x64 : arm64) ?? [])
}

function numberOf(name: Name, architecture: Architecture): number | undefined {
  const [x64, arm64] = systemCalls[name]
  return architecture === 'x64' ? x64 : arm64
}

function prologue(architecture: Architecture): readonly Instruction[] {
  return [
    [load, 0, 0, architectureAt],
    [jumpIfEqual, 1, 0, auditNames[architecture]],
    returning(killProcess),
    [load, 0, 0, numberAt],
    [jumpIfAtLeast, 0, 1, x32Bit],
    returning(killProcess),
    // A newer glibc tries newer calls first, and falls back.
    [jumpIfGreater, 0, 1, newestCall],
    returning(returnErrno | enosys),
  ]
}

function when(number: number | undefined, verdict: Verdict): readonly Instruction[] {
  return number === undefined ? [] : [[jumpIfEqual, 0, 1, number], returning(valueOf(verdict))]
}

function guarded(guard: Guard, number: number | undefined): readonly Instruction[] {
  if (number === undefined) return []
  const { argument, test, otherwise } = guard
  const checks: Instruction[] =
    'equals' in test
      ? test.equals.flatMap((value) => [[jumpIfEqual, 0, 1, value] as const, returning(allow)])
      : [[jumpIfAny, 1, 0, test.hasNone], returning(allow)]
  const body: Instruction[] = [
    [load, 0, 0, argumentsAt + argument * 8],
    ...checks,
    returning(valueOf(otherwise)),
  ]
  return [[jumpIfEqual, 0, body.length, number], ...body]
}

function returning(value: number): Instruction {
  return [give, 0, 0, value]
}

function valueOf(verdict: Verdict): number {
  return verdict === 'allow' ? allow : returnErrno | verdict.errno
}
