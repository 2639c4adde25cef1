import kafkajs, { type Admin, type Kafka, type LogEntry } from 'kafkajs'

/** The part of a pino logger that is used here. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface Connection { brokers: readonly string[]; clientId: string; log: Log }

/**
 * Every number is set here on purpose: kafkajs has other defaults when NODE_ENV is `test`. It retries at several levels, one
 * inside the other, so a few tries each are soon minutes of silence; publisher.ts and subscription.ts go on with a fresh client.
 */
const RETRY = { initialRetryTime: 150, factor: 0.2, multiplier: 2, maxRetryTime: 1_000, retries: 2 }

/** Longest wait for an answer of a broker; joining a group and long polls have their own, longer ones in kafkajs. */
const REQUEST_TIMEOUT_MS = 10_000

/**
 * A client of its own for each producer and each consumer: kafkajs shares the cache of committed offsets between the
 * consumers of one client, and two members of one group would clear each other's.
 */
export function newClient({ brokers, clientId, log }: Connection): Kafka {
  return new kafkajs.Kafka({
    brokers: [...brokers],
    clientId,
    connectionTimeout: 3_000,
    requestTimeout: REQUEST_TIMEOUT_MS,
    retry: RETRY,
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => entry => { forward(log, entry) },
  })
}

/**
 * kafkajs calls every retry an error, several a second while a broker is away. What is really one comes out of this
 * adapter, logged once, by a rejected promise or by `onCrash`. Only known fields pass: no payload can reach the log.
 */
function forward(log: Log, { level, namespace, log: content }: LogEntry): void {
  const extra: Record<string, unknown> = content
  const fields = { kafkajs: namespace, broker: extra['broker'], group: extra['groupId'], error: extra['error'], retries: extra['retryCount'] }
  if (level === kafkajs.logLevel.ERROR) log.info(fields, content.message)
  else log.debug(fields, content.message)
}

/** The protocol's name of what went wrong (`MESSAGE_TOO_LARGE`), wherever kafkajs wrapped it. */
export function protocolErrorOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('type' in at && typeof at.type === 'string') return at.type
  }
  return undefined
}

export const asError = (error: unknown): Error => error instanceof Error ? error : new Error(String(error))

/** 100 ms, doubled with each failure in a row, at most 5 s. */
export const backOffMs = (failures: number): number => Math.min(5_000, 100 * 2 ** Math.min(failures, 10))

export interface AdminAccess {
  use<T>(work: (admin: Admin) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** One admin connection, opened when first needed and anew after any failure. */
export function adminAccess(connection: Connection): AdminAccess {
  let open: Promise<Admin> | undefined
  const connect = async () => {
    const admin = newClient(connection).admin({ retry: { ...RETRY, retries: 1 } })
    await admin.connect()
    return admin
  }
  const close = async () => {
    const closing = open
    open = undefined
    // A connection that failed to open or to close is gone either way.
    await closing?.then(admin => admin.disconnect()).catch(() => undefined)
  }
  return {
    use: async work => {
      open ??= connect()
      const mine = open
      try {
        return await work(await mine)
      } catch (error) {
        if (open === mine) await close()
        throw error
      }
    },
    close,
  }
}
