/**
 * Blocks of 32-bit words in pages of 1 MiB: the memory in which packed logs live. Millions of small logs as JavaScript
 * objects would cost the garbage collector seconds; here they are a few hundred arrays. A block never spans two pages.
 *
 *   block: word 0  size class | kind << 8 | in use << 31
 *          1, 2    key
 *          3       words used by the log
 *          4 …     the log
 */
export const BLOCK_HEAD = 4
const PAGE_WORDS = 1 << 18
const PAGE_SHIFT = 18
const IN_USE = 0x80000000

/** Block sizes in words, head included: steps of about 1.4 keep waste under a third. */
const SIZES = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768, 65536]
const sizeOf = (sizeClass: number): number => SIZES[sizeClass] ?? 0
const classFor = (words: number): number => {
  const found = SIZES.findIndex((size) => size >= words)
  if (found < 0) throw new RangeError(`a log of ${words} words is larger than the largest block`)
  return found
}

export class LogArena {
  private pages: Uint32Array[] = []
  /** Words handed out in the last page. */
  private fill = PAGE_WORDS
  private free: number[][] = SIZES.map(() => [])
  /** Pages still to be saved by a snapshot that is under way; a page is copied before its first change. */
  private toSave: Map<number, Uint32Array | undefined> | undefined

  get bytes(): number { return this.pages.length * PAGE_WORDS * 4 }

  page(address: number): Uint32Array {
    const page = this.pages[address >>> PAGE_SHIFT]
    if (!page) throw new RangeError(`no page for address ${address}`)
    return page
  }

  offset(address: number): number { return address & (PAGE_WORDS - 1) }
  capacity(address: number): number { return sizeOf((this.page(address)[this.offset(address)] ?? 0) & 0xff) - BLOCK_HEAD }

  /** Must be called before a block's words are changed. */
  touch(address: number): void {
    if (this.toSave === undefined) return
    const index = address >>> PAGE_SHIFT
    if (this.toSave.has(index) && this.toSave.get(index) === undefined) this.toSave.set(index, this.page(address).slice())
  }

  /** A block for a log of at least `words`; its address is never 0. */
  allocate(kind: number, hi: number, lo: number, words: number): number {
    const sizeClass = classFor(words + BLOCK_HEAD)
    const address = this.free[sizeClass]?.pop() ?? this.carve(sizeClass)
    this.touch(address)
    const page = this.page(address), at = this.offset(address)
    page[at] = (sizeClass | (kind << 8) | IN_USE) >>> 0
    page[at + 1] = hi
    page[at + 2] = lo
    page[at + 3] = 0
    return address
  }

  release(address: number): void {
    this.touch(address)
    const page = this.page(address), at = this.offset(address)
    const sizeClass = (page[at] ?? 0) & 0xff
    page[at] = sizeClass
    this.free[sizeClass]?.push(address)
  }

  private carve(sizeClass: number): number {
    const size = sizeOf(sizeClass)
    if (this.fill + size > PAGE_WORDS) {
      this.leaveRest()
      this.pages.push(new Uint32Array(PAGE_WORDS))
      // Address 0 means "none": the first page starts one small block later.
      this.fill = this.pages.length === 1 ? sizeOf(0) : 0
    }
    const address = (this.pages.length - 1) * PAGE_WORDS + this.fill
    this.fill += size
    return address
  }

  /** The end of a page becomes free blocks, so that a page is always a run of blocks from its start. */
  private leaveRest(): void {
    const page = this.pages.at(-1)
    if (!page) return
    while (this.fill < PAGE_WORDS) {
      const rest = PAGE_WORDS - this.fill
      const sizeClass = SIZES.findLastIndex((size) => size <= rest)
      if (sizeClass < 0) return
      const address = (this.pages.length - 1) * PAGE_WORDS + this.fill
      this.touch(address)
      page[this.fill] = sizeClass
      this.free[sizeClass]?.push(address)
      this.fill += sizeOf(sizeClass)
    }
  }

  /** All blocks in use, with their kind and key. */
  *blocks(): Generator<{ address: number; kind: number; hi: number; lo: number }> {
    for (let p = 0; p < this.pages.length; p++) {
      const page = this.pages[p] ?? new Uint32Array(0)
      const end = p === this.pages.length - 1 ? this.fill : PAGE_WORDS
      let at = p === 0 ? sizeOf(0) : 0
      while (at + sizeOf(0) <= end) {
        const head = page[at] ?? 0
        if ((head & IN_USE) !== 0) yield { address: p * PAGE_WORDS + at, kind: (head >>> 8) & 0xff, hi: page[at + 1] ?? 0, lo: page[at + 2] ?? 0 }
        at += sizeOf(head & 0xff)
      }
    }
  }

  /**
   * The arena as it is now, page by page, while writes go on: a page that is about to change is copied
   * first. Only one at a time.
   */
  snapshot(): Generator<Uint32Array, void> {
    const saving = (this.toSave = new Map<number, Uint32Array | undefined>(this.pages.map((_, index) => [index, undefined])))
    return this.save(saving)
  }

  private *save(saving: Map<number, Uint32Array | undefined>): Generator<Uint32Array, void> {
    const count = saving.size
    try {
      for (let index = 0; index < count; index++) {
        const page = saving.get(index) ?? this.pages[index]?.slice()
        saving.delete(index)
        if (page) yield page
      }
    } finally {
      this.toSave = undefined
    }
  }

  /** Whether a log of `words` fits into a block that is free already. */
  hasFree(words: number): boolean { return (this.free[classFor(words + BLOCK_HEAD)]?.length ?? 0) > 0 }

  /** Words used in the last page: needed to load a snapshot. */
  get filled(): number { return this.fill }

  static load(pages: Uint32Array[], fill: number): LogArena {
    const arena = new LogArena()
    arena.pages = pages
    arena.fill = fill
    for (let p = 0; p < pages.length; p++) {
      const page = pages[p] ?? new Uint32Array(0)
      const end = p === pages.length - 1 ? fill : PAGE_WORDS
      let at = p === 0 ? sizeOf(0) : 0
      while (at + sizeOf(0) <= end) {
        const head = page[at] ?? 0
        if ((head & IN_USE) === 0) arena.free[head & 0xff]?.push(p * PAGE_WORDS + at)
        at += sizeOf(head & 0xff)
      }
    }
    return arena
  }
}
