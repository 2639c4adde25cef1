/**
 * 64-bit hash of a string, as two unsigned 32-bit words, for keys that are no secret (event, order, slot, doctor ids).
 * Two independent multiply-xor lanes over UTF-16 units with murmur3's finaliser (public domain, A. Appleby).
 * Not for identities: those are keyed tokens already, of which `tokenWords` takes the first 64 bits.
 */
export interface Words { hi: number; lo: number }

const finalise = (h: number): number => {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export function hash64(text: string): Words {
  let a = 0x9747b28c ^ text.length
  let b = 0x3c6ef372
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0xcc9e2d51)
    a = (a << 13) | (a >>> 19)
    b = Math.imul(b ^ unit, 0x1b873593)
    b = (b << 15) | (b >>> 17)
  }
  const hi = finalise(a ^ Math.imul(b, 0x27d4eb2f))
  return { hi, lo: finalise(b ^ hi) || 1 }
}

/** First 64 bits of a token (32 lower-case hex characters). The low word is never 0, which stands for "absent". */
export const tokenWords = (token: string): Words => ({ hi: hexWord(token, 0), lo: hexWord(token, 8) || 1 })

/** Eight hex digits from `at`: about eight times as fast as parseInt of a slice, ten times per event. */
function hexWord(text: string, at: number): number {
  let word = 0
  for (let i = at; i < at + 8; i++) {
    const unit = text.charCodeAt(i)
    word = (word << 4) | (unit < 58 ? unit - 48 : unit - 87)
  }
  return word >>> 0
}

/** One key from two: the order matters. */
export function combine(a: Words, b: Words): Words {
  const hi = finalise(Math.imul(a.hi, 0x9e3779b1) ^ b.lo)
  return { hi, lo: finalise(Math.imul(a.lo, 0x85ebca77) ^ b.hi ^ hi) || 1 }
}

/** A set of hashed words that is emptied at no cost: no allocation while windows are computed. Holds at most half its slots. */
export class WordSet {
  private readonly words: Uint32Array
  /** Which round a slot was filled in; slots of earlier rounds are empty. */
  private readonly rounds: Uint32Array
  private round = 1
  private n = 0

  /** `slots` must be a power of two. */
  constructor(slots: number) {
    this.words = new Uint32Array(slots)
    this.rounds = new Uint32Array(slots)
  }

  get size(): number { return this.n }

  clear(): void {
    this.n = 0
    if (this.round === 0xffffffff) this.rounds.fill(this.round = 0)
    this.round++
  }

  /** Throws a RangeError when more is put in than it was made for: it would soon never come back. */
  add(word: number): void {
    const mask = this.words.length - 1
    let slot = word & mask
    while (this.rounds[slot] === this.round) {
      if (this.words[slot] === word) return
      slot = (slot + 1) & mask
    }
    if (++this.n > this.words.length / 2) throw new RangeError(`more than ${this.words.length / 2} words in a set`)
    this.words[slot] = word
    this.rounds[slot] = this.round
  }
}
