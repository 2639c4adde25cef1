import type { Journal } from '../ports/journal.js'
import type { Recorder } from '../ports/recorder.js'
import type { Enforcer } from './enforcer.js'

/** Records in this process' own journal, then enforces. Without an enforcer (replay) nothing is. */
export function createRecorder(journal: Pick<Journal, 'find' | 'append' | 'pending' | 'fault'>, enforcer?: Pick<Enforcer, 'submit' | 'applied'>): Recorder {
  return {
    find: (eventId) => journal.find(eventId)?.then(async (recorded) => {
      // The first asker may still be waiting for its hold: a repeat must not overtake it.
      if (recorded) await enforcer?.applied(recorded.seq)
      return recorded ?? 'forgotten'
    }),
    async record(entry, effects) {
      const { seq, durable } = journal.append(entry)
      await (effects && enforcer ? enforcer.submit(seq, durable, effects) : durable)
      return undefined
    },
    get pending() { return journal.pending },
    get fault() { return journal.fault },
  }
}
