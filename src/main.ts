#!/usr/bin/env node
import { runCli } from './cli/program.js'
import { createActions } from './main/commands.js'

// The only process entry: everything is put together in main/.
const io = { stdout: process.stdout, stderr: process.stderr, isTTY: process.stderr.isTTY }
process.exitCode = await runCli(createActions(io), io, process.argv.slice(2))
