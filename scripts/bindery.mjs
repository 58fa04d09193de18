#!/usr/bin/env node
// The command line, for any Node from 18 on: hands over to the pinned Node 24, which runs our
// TypeScript as it is. Plain JavaScript, because it runs before anything is installed.
import { join } from 'node:path'
import { ensureInstalled, root, runNode } from './install.mjs'

await ensureInstalled()
process.exitCode = await runNode([join(root, 'src/cli/main.ts'), ...process.argv.slice(2)])
