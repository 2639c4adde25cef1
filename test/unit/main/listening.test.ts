import { afterEach, describe, expect, it } from 'vitest'
import { createMemoryEventLog } from '../../../src/adapters/memory/event-log.js'
import { createLog } from '../../../src/adapters/pino/log.js'
import { listen, type Listening } from '../../../src/main/listening.js'
import type { Subscription } from '../../../src/ports/event-log.js'

const log = createLog('silent')
const eventLog = createMemoryEventLog({ maxMessagesPerTopic: 10 })
const subscribe = (): Promise<Subscription> => eventLog.subscribe('booking-events', 'zhenhao', (messages) => Promise.resolve(messages.length))
const turns = async (n = 10): Promise<void> => { for (let i = 0; i < n; i++) await new Promise(setImmediate) }

describe('the stream worker', () => {
  let listening: Listening | undefined
  afterEach(async () => { await listening?.stop(); listening = undefined })

  it('is not ready until it has its subscription, and is from then on', async () => {
    let open = (): void => undefined
    const opened = new Promise<void>((resolve) => { open = resolve })
    listening = listen(async () => { await opened; return subscribe() }, log)
    await turns()
    await expect(listening.check()).rejects.toThrow('the stream is being joined')
    expect(await listening.lag()).toBeUndefined()
    open()
    await turns()
    await expect(listening.check()).resolves.toBeUndefined()
    expect(await listening.lag()).toBe(0)
  })

  it('that cannot start is not ready, and is started again until it can', async () => {
    let tries = 0
    listening = listen(() => (++tries === 1 ? Promise.reject(new Error('no broker')) : subscribe()), log)
    await turns()
    expect(tries).toBe(1)
    await expect(listening.check()).rejects.toThrow('the stream is being joined')
    await expect.poll(() => listening?.check().then(() => 'ready', () => 'not ready'), { timeout: 5_000 }).toBe('ready')
    expect(tries).toBe(2)
  })

  it('that is stopped while it cannot start ends at once and is not started again', async () => {
    let tries = 0
    const never = listen(() => { tries++; return Promise.reject(new Error('no broker')) }, log)
    await turns()
    const before = performance.now()
    await never.stop()
    expect(performance.now() - before).toBeLessThan(1_000)
    expect(tries).toBe(1)
  })
})
