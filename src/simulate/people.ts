import { ELSEWHERE, GIVEN, HOMES, SURNAMES } from './names.js'
import { hash, KIND, must, Random, share } from './random.js'
import { DAY_MS } from './wire.js'

/** Somebody made up. Only the checksum of the ID number is right; nobody is behind it. */
export interface Person {
  /** WS 364 CV02.01.101. */
  idType: string
  idNumber: string
  name: string
  phone: string
  sex: 'M' | 'F'
  birthDate: string
}

export type Relation = 'self' | 'child' | 'parent' | 'spouse' | 'guardian' | 'helper' | 'other'

/** Four neighbours in number are a household: they share one account, or each has one. */
export const HOUSEHOLD = 4
/** Then a fifth of all accounts have two to four patients (DOMAIN 4). */
const FAMILY_HOUSEHOLDS = 0.57
/** Patients of one 7-digit block of numbers. */
const PHONES_PER_BLOCK = 300
const VIRTUAL_PHONES = 0.015
const PREFIXES = ['133', '134', '135', '136', '137', '138', '139', '150', '151', '152', '153', '157', '158', '159', '177', '178', '180', '181', '182', '183', '186', '187', '188', '189']
const VIRTUAL_PREFIXES = ['162', '165', '167', '170', '171']
const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]

/** The people of a city, by number. A number at or beyond `size` is somebody too: a visitor from elsewhere. */
export class Population {
  private readonly home: string
  private readonly blocks: number

  constructor(private readonly seed: number, readonly size: number, private readonly startMs: number) {
    this.home = must(HOMES[hash(seed, KIND.city) % HOMES.length])
    this.blocks = Math.max(3, Math.round(size / PHONES_PER_BLOCK))
  }

  /** How person `n` stands to the holder of the account that is used for them, and whose account it is. */
  place(n: number): { relation: Relation; holder: number } {
    const slot = n % HOUSEHOLD, household = n - slot
    if (slot === 0 || !this.isFamily(household) || slot > this.members(household)) return { relation: 'self', holder: n }
    const dice = share(this.seed, KIND.member, n)
    const relation = slot === 1 ? (dice < 0.5 ? 'spouse' : 'parent') : slot === 2 ? (dice < 0.6 ? 'child' : 'parent') : dice < 0.4 ? 'child' : dice < 0.8 ? 'parent' : 'other'
    return { relation, holder: household }
  }

  isFamily(household: number): boolean { return share(this.seed, KIND.household, household) < FAMILY_HOUSEHOLDS }
  /** Beside the holder, 1 to 3. */
  private members(household: number): number { return 1 + hash(this.seed, KIND.household, household, 1) % 3 }

  /** Somebody at random. */
  anyone(random: Random): number { return random.below(this.size) }

  person(n: number): Person {
    const random = new Random(this.seed, KIND.person, n)
    const born = this.born(random, this.place(n).relation)
    const region = random.chance(0.62) ? `${this.home}${two(random.whole(2, 12))}` : random.pick(ELSEWHERE)
    const serial = random.whole(1, 998)
    const sex = serial % 2 === 1 ? 'M' : 'F'
    const name = random.pick(SURNAMES) + random.pick(GIVEN) + (random.chance(0.83) ? random.pick(GIVEN) : '')
    const phone = this.phone(n)
    if (random.chance(0.012)) return foreigner(random, { name, phone, sex, birthDate: born })
    // Clerks mistype: a few records say another sex than the number.
    const stated = random.chance(0.003) ? (sex === 'M' ? 'F' : 'M') : sex
    return { idType: '01', idNumber: idNumber(region, born, serial), name, phone, sex: stated, birthDate: born }
  }

  /** A child that has no number yet books with its guardian's. */
  childOf(n: number, guardian: Person): Person {
    const random = new Random(this.seed, KIND.person, n, 1)
    const surname = random.chance(0.8) ? guardian.name.slice(0, 1) : random.pick(SURNAMES)
    return { ...guardian, name: surname + random.pick(GIVEN) + random.pick(GIVEN), sex: random.chance(0.5) ? 'M' : 'F', birthDate: this.dayBefore(random.between(0.1, 3)) }
  }

  phone(n: number): string {
    const isVirtual = share(this.seed, KIND.phone, n, 1) < VIRTUAL_PHONES
    return isVirtual ? this.virtualPhone(n) : this.block(hash(this.seed, KIND.phone, n, 2)) + tail(hash(this.seed, KIND.phone, n, 3), 4)
  }

  virtualPhone(n: number): string { return must(VIRTUAL_PREFIXES[hash(this.seed, KIND.phone, n, 4) % 5]) + tail(hash(this.seed, KIND.phone, n, 5), 8) }
  /** Seven digits that hundreds of people's numbers begin with. */
  block(key: number): string {
    const block = key % this.blocks
    return must(PREFIXES[hash(this.seed, KIND.block, block) % PREFIXES.length]) + tail(hash(this.seed, KIND.block, block, 1), 4)
  }

  /** People whose numbers were made in a row: one district, one birthday, one serial after the other. */
  series(key: number, index: number, name: string, phone: string): Person {
    const random = new Random(this.seed, KIND.puppet, key)
    const birthDate = this.dayBefore(random.between(22, 68))
    const serial = 1 + (random.whole(1, 700) + index) % 998
    const region = random.chance(0.5) ? `${this.home}${two(random.whole(2, 12))}` : random.pick(ELSEWHERE)
    const sex = (serial % 2 === 1) === (hash(key, index) % 10 < 9) ? 'M' : 'F'
    return { idType: '01', idNumber: idNumber(region, birthDate, serial), name, phone, sex, birthDate }
  }

  private born(random: Random, relation: Relation): string {
    if (relation === 'parent') return this.dayBefore(random.between(54, 88))
    if (relation === 'child') return this.dayBefore(random.between(0.3, 16))
    return this.dayBefore(18 + 62 * random.next() ** 1.1)
  }

  private dayBefore(years: number): string { return new Date(this.startMs - years * 365.2425 * DAY_MS).toISOString().slice(0, 10) }
}

function foreigner(random: Random, rest: Omit<Person, 'idType' | 'idNumber'>): Person {
  const [idType, letters] = random.pick([['03', 'EGKP'], ['06', 'HM'], ['07', 'T']] as const)
  return { ...rest, idType, idNumber: letters.charAt(random.below(letters.length)) + tail(hash(random.below(2 ** 31)), 8) }
}

function idNumber(region: string, birthDate: string, serial: number): string {
  const body = region + birthDate.replaceAll('-', '') + String(serial).padStart(3, '0')
  let sum = 0
  for (let i = 0; i < 17; i++) sum += must(WEIGHTS[i]) * (body.charCodeAt(i) - 48)
  return body + '10X98765432'.charAt(sum % 11)
}

const two = (value: number): string => String(value).padStart(2, '0')
const tail = (key: number, digits: number): string => String(key % 10 ** digits).padStart(digits, '0')
