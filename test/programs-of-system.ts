import { spawnSync } from 'node:child_process'

/** Why a program of the system can't be run here, or `false`: see scripts/packages.mjs. */
export function without(program: string): string | false {
  const { error } = spawnSync(program, ['--version'], { env: withSystemPath() })
  return error ? `${program} is not here` : false
}

/** An environment in which programs are found that only root usually runs. */
export function withSystemPath(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` }
}
