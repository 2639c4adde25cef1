/** Made-up people: nobody has these numbers by more than chance, only the checksums are right. */

export interface Person { idNumber: string; name: string; phone: string; sex: 'M' | 'F'; birthDate: string }

/** Mulberry32: the same sequence every time for a seed. In [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export const pick = <T>(random: () => number, list: readonly T[]): T => {
  const found = list[Math.floor(random() * list.length)]
  if (found === undefined) throw new Error('nothing to pick from')
  return found
}

const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]

/** GB 11643: 17 digits and their check character. */
export function withChecksum(digits: string): string {
  const sum = WEIGHTS.reduce((total, weight, at) => total + weight * Number(digits[at]), 0)
  return digits + ('10X98765432'[sum % 11] ?? '')
}

const REGIONS = ['110101', '310104', '320506', '330106', '420106', '440305', '510107', '610113']
const SURNAMES = ['赵', '钱', '孙', '周', '吴', '郑', '冯', '陈', '褚', '卫', '蒋', '沈', '韩', '杨']
const GIVEN = ['琮', '骞', '昉', '翀', '甯', '旻', '珩', '砚', '筠', '缜', '霁', '颢', '骁', '麒', '彧', '晞', '桢', '栩', '泓', '湛']

const two = (value: number): string => String(value).padStart(2, '0')

/** An ID number of this region and birth date; an odd sequence is a man's. */
export const idOf = (region: string, birthDate: string, sequence: number): string =>
  withChecksum(`${region}${birthDate.replaceAll('-', '')}${String(sequence).padStart(3, '0')}`)

/** Somebody between 20 and 80 in 2026. */
export function somebody(random: () => number): Person {
  const birthDate = `${1946 + Math.floor(random() * 60)}-${two(1 + Math.floor(random() * 12))}-${two(1 + Math.floor(random() * 28))}`
  const sequence = 1 + Math.floor(random() * 998)
  return {
    idNumber: idOf(pick(random, REGIONS), birthDate, sequence), name: pick(random, SURNAMES) + pick(random, GIVEN) + pick(random, GIVEN),
    phone: `${pick(random, ['138', '139', '150', '186'])}${String(Math.floor(random() * 1e8)).padStart(8, '0')}`, sex: sequence % 2 === 1 ? 'M' : 'F', birthDate,
  }
}
