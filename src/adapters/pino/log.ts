import { destination, pino, stdTimeFunctions, type Logger } from 'pino'

/** Fields that could carry a secret or a person are cut out wherever a log call brings them along. */
const NEVER = ['authorization', 'headers', 'body', 'raw', 'url', 'password', 'secret', 'id_number', 'phone', 'name']

/** JSON lines on stderr: stdout is for people and results. */
export function createLog(level: string): Logger {
  return pino({ level, base: null, timestamp: stdTimeFunctions.isoTime, redact: { paths: NEVER.flatMap((key) => [key, `*.${key}`]), remove: true } }, destination(2))
}

export type { Logger }
