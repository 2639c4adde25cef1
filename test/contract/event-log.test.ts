import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { createKafkaEventLog } from '../../src/adapters/kafka/event-log.js'
import { createMemoryEventLog } from '../../src/adapters/memory/event-log.js'
import { TOPICS } from '../../src/ports/event-log.js'
import { startKafka } from '../support/kafka.js'
import { describeEventLog, latch } from './suites/event-log.js'

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

describeEventLog('memory', () => {
  const log = createMemoryEventLog({ maxMessagesPerTopic: 50_000 })
  return Promise.resolve({ open: () => log, dispose: () => log.close() })
})

describeEventLog('kafka', async () => {
  const broker = await startKafka()
  if (broker === undefined) return undefined
  let process = 0
  return {
    open: () => createKafkaEventLog({ brokers: [broker.brokers], clientId: `contract-${process++}`, log: quiet, sessionTimeoutMs: 6_000 }),
    dispose: () => broker.stop(),
  }
})

describe('the memory event log, where it must not grow for ever', () => {
  const messages = (count: number) => Array.from({ length: count }, (_, n) => ({ key: `k${n % 7}`, value: String(n) }))

  it('drops the oldest messages that nobody is there to read', async () => {
    const log = createMemoryEventLog({ maxMessagesPerTopic: 100 })
    await log.publish(TOPICS.decisions, messages(1_000))
    const seen: string[] = []
    await log.subscribe(TOPICS.decisions, 'late', batch => {
      seen.push(...batch.map(({ value }) => String(value)))
      return Promise.resolve(batch.length)
    })
    await vi.waitFor(() => { expect(seen).toContain('999') })
    await log.close()
    expect(seen.length).toBeLessThanOrEqual(100)
    expect(seen.length).toBeGreaterThan(80)
  })

  it('makes publishers wait instead of dropping what a live group has not read', async () => {
    const log = createMemoryEventLog({ maxMessagesPerTopic: 100 })
    const gate = latch()
    const seen: string[] = []
    await log.subscribe(TOPICS.events, 'slow', async batch => {
      await gate.opened
      seen.push(...batch.map(({ value }) => String(value)))
      return batch.length
    })
    const state = { published: false }
    const publishing = log.publish(TOPICS.events, messages(1_000)).then(() => { state.published = true })
    await sleep(100)
    expect(state.published).toBe(false)
    gate.open()
    await publishing
    await vi.waitFor(() => { expect(seen).toHaveLength(1_000) })
    await log.close()
  })

  it('turns publishers away once it is closed', async () => {
    const log = createMemoryEventLog({ maxMessagesPerTopic: 100 })
    await log.close()
    await expect(log.publish(TOPICS.events, messages(1))).rejects.toThrow('closed')
    await expect(log.ping()).rejects.toThrow('closed')
  })
})
