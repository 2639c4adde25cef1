#!/usr/bin/env node
import { runCli } from './cli/program.js'
import { createActions } from './main/commands.js'

// The only process entry: everything is put together in main/.
const io = { stdout: process.stdout, stderr: process.stderr, isTTY: process.stderr.isTTY }
// `zhenhao replay … | head` closes our output early: that is no fault, and there is nobody left to tell.
process.stdout.on('error', (fault: NodeJS.ErrnoException) => { if (fault.code === 'EPIPE') process.exit(0); else throw fault })
process.exitCode = await runCli(createActions(io), io, process.argv.slice(2))
