import { startClickHouseHttp } from '../support/clickhouse-http.js'

// ClickHouse behind its HTTP interface, as a process of its own that can be killed: `clickhouse-child.js PATH PASSWORD PORT`.
const [, , path = '', password = '', port = ''] = process.argv
const { url } = await startClickHouseHttp({ path, password, port: Number(port) })
process.stdout.write(`${url}\n`)
