export interface Gate {
  /** Resolves when there is room for `bytes` more. Waiters get in in the order they came. */
  enter(bytes: number): Promise<void>
  /** Once for each `enter`, with the same bytes. */
  leave(bytes: number): void
}

/** Bounds what is in hand, in bytes and in messages. One that is bigger than the whole gate gets in when nothing else is. */
export function createGate(limit: { bytes: number; messages: number }): Gate {
  const waiting: { bytes: number; open: () => void }[] = []
  let inBytes = 0
  let inMessages = 0

  const fits = (bytes: number) => inMessages === 0 || (inMessages < limit.messages && inBytes + bytes <= limit.bytes)
  const take = (bytes: number) => { inBytes += bytes; inMessages++ }

  return {
    enter: bytes => {
      if (waiting.length > 0 || !fits(bytes)) return new Promise(resolve => { waiting.push({ bytes, open: resolve }) })
      take(bytes)
      return Promise.resolve()
    },
    leave: bytes => {
      inBytes -= bytes
      inMessages--
      for (let next = waiting[0]; next !== undefined && fits(next.bytes); next = waiting[0]) {
        waiting.shift()
        take(next.bytes)
        next.open()
      }
    },
  }
}
