/**
 * Blocks of 32-bit words in pages of 1 MiB: the memory in which packed logs live. Millions of small logs as JavaScript
 * objects would cost the garbage collector seconds; here they are a few hundred arrays. A block never spans two pages.
 *
 *   block: word 0  size class | kind << 8 | marked << 30 | in use << 31
 *          1, 2    key
 *          3       words used by the log
 *          4 …     the log
 */
export const BLOCK_HEAD = 4
const PAGE_WORDS = 1 << 18
const PAGE_SHIFT = 18
export const PAGE_BYTES = PAGE_WORDS * 4
const IN_USE = 0x80000000
const MARKED = 0x40000000

/** Block sizes in words, head included: steps of about 1.4 keep waste under a third. */
const SIZES = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768, 65536]
const SMALLEST = 16
const sizeOf = (sizeClass: number): number => SIZES[sizeClass] ?? 0

/** Throws a RangeError for a log that no block can hold. */
function classFor(words: number): number {
  for (let sizeClass = 0; sizeClass < SIZES.length; sizeClass++) if (sizeOf(sizeClass) >= words) return sizeClass
  throw new RangeError(`a log of ${words} words is larger than the largest block`)
}

export interface Block { address: number; kind: number; hi: number; lo: number }

export class LogArena {
  private pages: Uint32Array[] = []
  /** Words handed out in the last page. */
  private fill = PAGE_WORDS
  private free: number[][] = SIZES.map(() => [])
  /** Pages still to be saved by the snapshot under way, with their copy once they were about to change. */
  private toSave: Map<number, Uint32Array | undefined> | undefined

  get bytes(): number { return this.pages.length * PAGE_BYTES }
  /** Words handed out in the last page: needed to load a snapshot. */
  get filled(): number { return this.fill }

  page(address: number): Uint32Array {
    const page = this.pages[address >>> PAGE_SHIFT]
    if (!page) throw new RangeError(`no page for address ${address}`)
    return page
  }

  offset(address: number): number { return address & (PAGE_WORDS - 1) }
  private head(address: number): number { return this.page(address)[this.offset(address)] ?? 0 }
  /** Words of log that fit into a block. */
  capacity(address: number): number { return sizeOf(this.head(address) & 0xff) - BLOCK_HEAD }

  /** A bit for the owner's use; it does not move with the log. */
  isMarked(address: number): boolean { return (this.head(address) & MARKED) !== 0 }
  mark(address: number): void {
    this.touch(address)
    this.page(address)[this.offset(address)] = (this.head(address) | MARKED) >>> 0
  }

  /** Must be called before a block's words are changed. */
  touch(address: number): void {
    if (this.toSave === undefined) return
    const index = address >>> PAGE_SHIFT
    if (this.toSave.has(index) && this.toSave.get(index) === undefined) this.toSave.set(index, this.page(address).slice())
  }

  /** Whether a log of `words` fits without another page. */
  hasRoom(words: number): boolean {
    const sizeClass = classFor(words + BLOCK_HEAD)
    return this.fill + sizeOf(sizeClass) <= PAGE_WORDS || this.freeClass(sizeClass) >= 0
  }

  /** A block for a log of at least `words`, empty; its address is never 0. `thrifty`: a larger free block rather than another page. */
  allocate({ kind, hi, lo }: Omit<Block, 'address'>, words: number, thrifty = false): number {
    const wanted = classFor(words + BLOCK_HEAD)
    const fits = thrifty && this.fill + sizeOf(wanted) > PAGE_WORDS ? this.freeClass(wanted) : wanted
    const sizeClass = fits < 0 ? wanted : fits
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
    const sizeClass = this.head(address) & 0xff
    this.page(address)[this.offset(address)] = sizeClass
    this.free[sizeClass]?.push(address)
  }

  /** The smallest class from `sizeClass` up that has a free block; -1 without. */
  private freeClass(sizeClass: number): number {
    for (let c = sizeClass; c < SIZES.length; c++) if ((this.free[c]?.length ?? 0) > 0) return c
    return -1
  }

  private carve(sizeClass: number): number {
    const size = sizeOf(sizeClass)
    if (this.fill + size > PAGE_WORDS) {
      this.leaveRest()
      this.pages.push(new Uint32Array(PAGE_WORDS))
      this.fill = firstBlock(this.pages.length - 1)
    }
    const address = (this.pages.length - 1) * PAGE_WORDS + this.fill
    this.fill += size
    return address
  }

  /** The end of a page becomes free blocks, so that a page is always a run of blocks from its start. */
  private leaveRest(): void {
    const page = this.pages.at(-1)
    if (!page) return
    for (let rest = PAGE_WORDS - this.fill; rest >= SMALLEST; rest = PAGE_WORDS - this.fill) {
      const sizeClass = SIZES.findLastIndex((size) => size <= rest)
      const address = (this.pages.length - 1) * PAGE_WORDS + this.fill
      this.touch(address)
      page[this.fill] = sizeClass
      this.free[sizeClass]?.push(address)
      this.fill += sizeOf(sizeClass)
    }
  }

  hasKey(address: number, kind: number, hi: number, lo: number): boolean {
    const page = this.page(address), at = this.offset(address)
    return page[at + 2] === lo && page[at + 1] === hi && (((page[at] ?? 0) >>> 8) & 0xff) === kind
  }

  /** Whether this is the block in use for the key, and not a free one that was. */
  holds(address: number, kind: number, hi: number, lo: number): boolean { return (this.head(address) & IN_USE) !== 0 && this.hasKey(address, kind, hi, lo) }

  /** Kind and key of a block. */
  blockAt(address: number): Block {
    const page = this.page(address), at = this.offset(address)
    return { address, kind: ((page[at] ?? 0) >>> 8) & 0xff, hi: page[at + 1] ?? 0, lo: page[at + 2] ?? 0 }
  }

  /** Visits every block, in use or free. */
  eachBlock(visit: (address: number, inUse: boolean) => void): void {
    for (const [p, page] of this.pages.entries()) {
      const end = p === this.pages.length - 1 ? this.fill : PAGE_WORDS
      for (let at = firstBlock(p); at + SMALLEST <= end;) {
        const head = page[at] ?? 0
        visit(p * PAGE_WORDS + at, (head & IN_USE) !== 0)
        at += sizeOf(head & 0xff)
      }
    }
  }

  /**
   * The arena as it is now, page by page, while writes go on: a page that is about to change is copied first. A newer
   * snapshot ends an older one, whose next page is then an error.
   */
  snapshot(): Generator<Uint32Array, void> {
    const saving = (this.toSave = new Map<number, Uint32Array | undefined>(this.pages.map((_, index) => [index, undefined])))
    return this.save(saving)
  }

  private *save(saving: Map<number, Uint32Array | undefined>): Generator<Uint32Array, void> {
    const count = saving.size
    try {
      for (let index = 0; index < count; index++) {
        if (this.toSave !== saving) throw new Error('a newer snapshot has taken the place of this one')
        const page = saving.get(index) ?? this.pages[index]?.slice()
        saving.delete(index)
        if (page) yield page
      }
    } finally {
      if (this.toSave === saving) this.toSave = undefined
    }
  }

  /** An arena of saved pages, which become its own. */
  static load(pages: Uint32Array[], fill: number): LogArena {
    const arena = new LogArena()
    arena.pages = pages
    arena.fill = fill
    arena.eachBlock((address, inUse) => { if (!inUse) arena.free[arena.head(address) & 0xff]?.push(address) })
    return arena
  }
}

/** Address 0 means "none", so the first page starts one small block later. */
const firstBlock = (pageIndex: number): number => (pageIndex === 0 ? SMALLEST : 0)
