import { setTimeout as sleep } from 'node:timers/promises'
import { openOutsideKafka, type OutsideKafka } from '../support/outside-kafka.js'

const PAUSE_MS = 250
const SEND_FOR_MS = 180_000

/** A sender that a broker's death does not end: what was not acknowledged is sent again, over a new producer. */
export async function openPersistentKafka(brokers: string): Promise<OutsideKafka> {
  const first = await openOutsideKafka(brokers)
  let current = first
  let reopening: Promise<void> | undefined

  async function reopen(failed: OutsideKafka): Promise<void> {
    if (failed !== current) return
    await sleep(PAUSE_MS)
    current = await openOutsideKafka(brokers)
    // The consumers hang on the first one.
    if (failed !== first) await failed.close().catch(() => undefined)
  }

  return {
    async send(topic, messages) {
      for (const deadline = Date.now() + SEND_FOR_MS; ;) {
        const used = current
        try {
          await used.send(topic, messages)
          return
        } catch (fault) {
          if (Date.now() > deadline) throw fault
          reopening ??= reopen(used).catch(() => undefined).finally(() => { reopening = undefined })
          await reopening
          await sleep(PAUSE_MS)
        }
      }
    },
    follow: (topics, onMessage) => first.follow(topics, onMessage),
    async close() {
      if (current !== first) await current.close()
      await first.close()
    },
  }
}
