/** What is still to come, by time; things of the same time in the order in which they were planned. */
export class Agenda {
  private readonly heap: { at: number; order: number; act: () => void }[] = []
  private planned = 0

  /** `floor`: the city's first instant; nothing is before it. */
  constructor(private clock: number) {}

  /** Epoch milliseconds of what is happening. */
  get now(): number { return this.clock }

  /** What is planned for the past happens now. */
  plan(at: number, act: () => void): void {
    const { heap } = this
    const entry = { at: Math.max(Math.floor(at), this.clock), order: this.planned++, act }
    let i = heap.push(entry) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = heap[parent]
      if (above === undefined || !isBefore(entry, above)) break
      heap[i] = above
      i = parent
    }
    heap[i] = entry
  }

  /** Lets the next thing before `until` happen; false when there is none. */
  step(until: number): boolean {
    const first = this.heap[0]
    if (first === undefined || first.at >= until) return false
    const last = this.heap.pop()
    if (last !== undefined && this.heap.length > 0) this.sink(last)
    this.clock = first.at
    first.act()
    return true
  }

  private sink(entry: { at: number; order: number; act: () => void }): void {
    const { heap } = this
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      const [left, right] = [heap[child], heap[child + 1]]
      if (left === undefined) break
      if (right !== undefined && isBefore(right, left)) child++
      const least = heap[child] ?? left
      if (!isBefore(least, entry)) break
      heap[i] = least
      i = child
    }
    heap[i] = entry
  }
}

const isBefore = (a: { at: number; order: number }, b: { at: number; order: number }): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
