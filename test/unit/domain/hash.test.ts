import { describe, expect, it } from 'vitest'
import { combine, hash64, tokenWords, WordSet } from '../../../src/domain/hash.js'

describe('hash64', () => {
  it('gives the same words for the same text, on every machine and in every version', () => {
    // Pinned: snapshots and Redis hold these words.
    expect(hash64('e-000001')).toEqual(hash64('e-' + '000001'))
    expect([hash64(''), hash64('e-000001'), hash64('s-20261127-d1021-am')]).toMatchInlineSnapshot(`
      [
        {
          "hi": 3056434225,
          "lo": 2221266605,
        },
        {
          "hi": 1070651162,
          "lo": 129359144,
        },
        {
          "hi": 502615877,
          "lo": 3085813351,
        },
      ]
    `)
  })

  it('tells 300,000 ids in sequence apart, and its low word nearly so', () => {
    const both = new Set<bigint>(), low = new Set<number>()
    for (const form of ['e-', 'order:2026-11-20:', 's-20261127-d1021-am-']) {
      for (let i = 0; i < 100_000; i++) {
        const { hi, lo } = hash64(form + String(i).padStart(6, '0'))
        both.add((BigInt(hi) << 32n) | BigInt(lo))
        low.add(lo)
      }
    }
    expect(both.size).toBe(300_000)
    // The birthday bound for 32 bits is 10 collisions.
    expect(low.size).toBeGreaterThan(300_000 - 40)
  })

  it('never has the low word 0, which stands for absent', () => {
    for (let i = 0; i < 10_000; i++) expect(hash64(String(i)).lo).not.toBe(0)
    expect(tokenWords('0'.repeat(32)).lo).toBe(1)
  })
})

describe('tokenWords', () => {
  it('reads the first 64 bits of a token', () => {
    expect(tokenWords('0123456789abcdef0000000000000000')).toEqual({ hi: 0x01234567, lo: 0x89abcdef })
    expect(tokenWords('ffffffff00000001ffffffffffffffff')).toEqual({ hi: 0xffffffff, lo: 1 })
  })
})

describe('combine', () => {
  it('depends on the order: from A to B is not from B to A', () => {
    const a = hash64('a'), b = hash64('b')
    expect(combine(a, b)).not.toEqual(combine(b, a))
    expect(combine(a, b)).toEqual(combine(hash64('a'), hash64('b')))
    expect(combine(a, a)).not.toEqual(a)
  })
})

describe('a word set', () => {
  it('counts each word once, words in one slot too, and starts anew when it is cleared', () => {
    const set = new WordSet(16)
    for (const word of [1, 17, 33, 1, 17, 0xffffffff, 0xffffffff]) set.add(word)
    expect(set.size).toBe(4)
    set.clear()
    expect(set.size).toBe(0)
    set.add(17)
    expect(set.size).toBe(1)
  })

  it('refuses more than it can hold, rather than search for ever', () => {
    const set = new WordSet(8)
    for (const word of [1, 2, 3, 4]) set.add(word)
    expect(() => { set.add(5) }).toThrow(RangeError)
  })
})
