import { startClickHouseHttp } from '../support/clickhouse-http.js'

/** The ClickHouse engine behind HTTP, in a process of its own, as a server would be: what it costs is not the product's. */
const [, , path = '', password = ''] = process.argv
const server = await startClickHouseHttp({ path, password })
// It keeps every statement for tests to look at; under load that would be gigabytes.
setInterval(() => { server.seen.length = 0 }, 500)
process.on('disconnect', () => { process.exit(0) })
process.send?.({ url: server.url })
