import { describe, expect, it } from 'vitest'
import { civilDate, parseCivilDate, parseInstant, parseIp } from '../../../src/scoring/formats.js'
import {
  ageOn, checksumOf, civilDateAt, holdsLongNumber, isMobile, isNameForm, isVirtualOperator, looksLikeIdentity, maskId, maskName,
  maskPhone, normaliseId, normaliseName, normalisePhone, readResidentId,
} from '../../../src/scoring/identity.js'

const TODAY = 20261120
/** Synthetic numbers: 17 made-up digits with the checksum behind them. */
const withChecksum = (body: string): string => body + checksumOf(body)

describe('A resident ID', () => {
  it('is possible when form, region, birth date and checksum are', () => {
    expect(readResidentId('110101199003070011', TODAY)).toEqual({ possible: true, checksumValid: true, province: '11', birth: 19900307, sex: 'M' })
    expect(readResidentId('11010119900307002X', TODAY)).toMatchObject({ possible: true, sex: 'F' })
  })

  it.each([
    ['wrong checksum', '110101199003070012'],
    ['unknown region', withChecksum('16010119900307001')],
    ['birth date that does not exist', withChecksum('11010119900230001')],
    ['29 February of a common year', withChecksum('11010120230229001')],
    ['birth after the event', withChecksum('11010120261121001')],
    ['birth more than 150 years ago', withChecksum('11010118761119001')],
    ['bad form', '1101011990030700'],
    ['letters', 'ABCDEFGHIJKLMNOPQR'],
  ])('is impossible with a %s', (_, id) => {
    expect(readResidentId(id, TODAY).possible).toBe(false)
  })

  it.each([
    ['a baby born today', withChecksum('11010120261120001')],
    ['somebody of 150 years', withChecksum('11010118761120001')],
    ['29 February of a leap year', withChecksum('11010120240229001')],
    ['a residence permit', withChecksum('81000019900307001')],
    ['a foreign permanent resident', withChecksum('91015619900307001')],
    ['an older card of a foreigner', 'CAN110090030701'],
    ['an old number of 15 digits', normaliseId('110101900307001')],
  ])('is possible for %s', (_, id) => {
    expect(readResidentId(id, TODAY).possible).toBe(true)
  })

  it('never shows raw text as its province', () => {
    expect(readResidentId('张三', TODAY).province).toBe('00')
    expect(readResidentId('160101199003070010', TODAY).province).toBe('00')
  })

  it('has one spelling: upper case, no spaces or dashes, 15 digits as the 18 of the same person', () => {
    expect(normaliseId(' 110101-19900307-002x ')).toBe('11010119900307002X')
    expect(normaliseId('１１０１０１199003070011')).toBe('110101199003070011')
    expect(normaliseId('110101900307001')).toBe('110101199003070011')
    expect(normaliseId('160101900307001')).toBe('160101900307001')
    expect(normaliseId('e12345678')).toBe('E12345678')
  })
})

describe('Age', () => {
  it('counts whole years, the birthday included', () => {
    expect(ageOn(20261127, 19900307)).toBe(36)
    expect(ageOn(20260306, 19900307)).toBe(35)
    expect(ageOn(20260307, 19900307)).toBe(36)
    expect(ageOn(20270228, 20240229)).toBe(2)
    expect(ageOn(20261127, 20261127)).toBe(0)
  })
  it('is unknown before birth and beyond 150 years', () => {
    expect(ageOn(20261127, 20261128)).toBeUndefined()
    expect(ageOn(20261127, 18000101)).toBeUndefined()
  })
  it('takes the day of the given time zone', () => {
    const lateInUtc = Date.UTC(2026, 10, 26, 16, 30)
    expect(civilDateAt(lateInUtc, 'Asia/Shanghai')).toBe(20261127)
    expect(civilDateAt(lateInUtc, 'UTC')).toBe(20261126)
    expect(civilDateAt(lateInUtc - 30 * 60_000, 'Asia/Shanghai')).toBe(20261127)
    expect(civilDateAt(lateInUtc - 30 * 60_000 - 1, 'Asia/Shanghai')).toBe(20261126)
  })
  it('changes at midnight in a zone off the full hour too', () => {
    const midnight = Date.UTC(2026, 10, 26, 18, 15)
    expect(civilDateAt(midnight - 1, 'Asia/Kathmandu')).toBe(20261126)
    expect(civilDateAt(midnight, 'Asia/Kathmandu')).toBe(20261127)
  })
})

describe('A phone', () => {
  it('has one spelling', () => {
    for (const text of ['13800001234', '+86 138-0000-1234', '008613800001234', '8613800001234',
      '１３８００００１２３４']) expect(normalisePhone(text)).toBe('13800001234')
    expect(normalisePhone('none')).toBe('')
  })
  it('is valid as a mobile number only', () => {
    expect(isMobile('13800001234')).toBe(true)
    for (const phone of ['12800001234', '1380000123', '138000012345', '01012345678']) expect(isMobile(phone)).toBe(false)
  })
  it.each(['162', '165', '167', '170', '171'])('with prefix %s belongs to a virtual operator', (prefix) => {
    expect(isVirtualOperator(`${prefix}00001234`)).toBe(true)
    expect(isVirtualOperator(`${prefix}0000`)).toBe(false)
  })
  it('with prefix 138 does not', () => { expect(isVirtualOperator('13800001234')).toBe(false) })
})

describe('A name', () => {
  it.each(['测试甲', '甲一', '买买提·测试', 'ANNA-MARIA O\'TEST', 'Ива́н Тест',
    '𠮷田'])('%s has the form of one', (name) => { expect(isNameForm(normaliseName(name))).toBe(true) })
  it.each(['561', '甲', '甲1', '测试@', '', 'x'.repeat(31)])('"%s" has not', (name) => { expect(isNameForm(normaliseName(name))).toBe(false) })
  it('has one spelling', () => {
    for (const text of ['买买提·测试', '买买提•测试', ' 买买提・测试 ', '买买提.测试']) expect(normaliseName(text)).toBe('买买提·测试')
    expect(normaliseName('Anna  Test')).toBe('ANNA TEST')
  })
})

describe('A mask', () => {
  it('shows what people expect', () => {
    expect(maskName('王小明')).toBe('王**')
    expect(maskName('𠮷田')).toBe('𠮷**')
    expect(maskPhone('+86 13800001234')).toBe('138****1234')
    expect(maskId('11010119900307002x')).toBe('110*************2X')
    expect(maskId('CAN110090030701')).toBe('CAN**********01')
  })
  it('shows nothing of what is short', () => {
    expect(maskName('王')).toBe('*')
    expect(maskId('E12345678')).toBe('*********')
    expect(maskId('E1234567890')).toBe('E12******90')
    expect(maskId('12')).toBe('******')
    expect(maskPhone('85291234567')).toBe('***********')
    expect(maskPhone('1234')).toBe('******')
  })
})

describe('A text that looks like an identity', () => {
  it('is seen as a whole', () => {
    for (const text of ['11010119900307002x', '110101900307001', '999999999999999', '138 0000 1234']) expect(looksLikeIdentity(text)).toBe(true)
    for (const text of ['tok-13800001234', 'a1b3c8d0000f1234e5', '9f2c', '12800001234', 'a'.repeat(18)]) expect(looksLikeIdentity(text)).toBe(false)
  })
  it('is seen inside a longer text as eleven digits', () => {
    for (const text of ['Phone of 138-0000-1234', 'x13800001234y', 'id 110101 19900307 0011']) expect(holdsLongNumber(text)).toBe(true)
    for (const text of ['M2012', 'android 13', '5.2.1', '1234567890', '12345--678901']) expect(holdsLongNumber(text)).toBe(false)
  })
})

describe('Beside age, sex and province, one county alone', () => {
  it('leaves more than 100,000 possible ID numbers (docs/identity.md)', () => {
    let candidates = 0
    for (let day = 0; day < 365; day++) {
      const date = new Date(Date.UTC(1990, 10, 28 + day))
      const birth = date.getUTCFullYear() * 10_000 + (date.getUTCMonth() + 1) * 100 + date.getUTCDate()
      for (let sequence = 0; sequence < 1000; sequence++) {
        const reading = readResidentId(withChecksum(`810000${birth}${String(sequence).padStart(3, '0')}`), TODAY)
        if (reading.possible && reading.sex === 'M' && reading.birth !== undefined && ageOn(20261127, reading.birth) === 35) candidates++
      }
    }
    expect(candidates).toBe(365 * 500)
  })
})

describe('An instant', () => {
  it.each([
    ['2026-11-20T07:00:00.412+08:00', '2026-11-19T23:00:00.412Z'], ['2026-11-20T07:00:00Z', '2026-11-20T07:00:00.000Z'],
    ['2026-11-20t07:00:00.5z', '2026-11-20T07:00:00.500Z'],
    ['2026-11-20T07:00:00.4129999-03:30', '2026-11-20T10:30:00.412Z'], ['2024-02-29T00:00:00+00:00', '2024-02-29T00:00:00.000Z'],
    ['1969-12-31T23:59:59.999Z', '1969-12-31T23:59:59.999Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z'], ['1900-03-01T00:00:00-00:00', '1900-03-01T00:00:00.000Z'],
  ])('%s is %s', (text, utc) => {
    expect(parseInstant(text)).toBe(Date.parse(utc))
  })

  it.each([
    '', 'yesterday', '2026-11-20', '2026-11-20T07:00:00', '2026-11-20T07:00:00.', '2026-11-20T07:00:00.+08:00', '2026-11-20 07:00:00Z',
    '2026-02-30T07:00:00Z', '2026-13-01T07:00:00Z',
    '2026-11-20T24:00:00Z', '2026-11-20T07:60:00Z', '2026-11-20T07:00:61Z', '2026-11-20T07:00:00+24:00', '2026-11-20T07:00:00+0800',
    '2026-11-20T07:00:00Z ', '2026-11-20T07:00:00Zx',
    '+2026-11-20T07:00:00Z', '2026-11-2٠T07:00:00Z', '2026-11-20T07:00:00+08:00x', '1900-02-29T00:00:00Z',
  ])('"%s" is none', (text) => { expect(parseInstant(text)).toBeUndefined() })

  it('agrees with Date on every day from 1999 to 2101', () => {
    for (let ms = Date.UTC(1999, 0, 1); ms < Date.UTC(2101, 3, 1); ms += 86_400_000) {
      const iso = new Date(ms).toISOString()
      if (parseInstant(iso) !== ms) expect.fail(iso)
    }
  })
})

describe('A civil date', () => {
  it('exists or not', () => {
    expect(parseCivilDate('2024-02-29')).toBe(20240229)
    for (const text of ['2023-02-29', '2024-00-10', '2024-12-32', '2024-1-01', '2024-12-31T', 'x']) expect(parseCivilDate(text)).toBeUndefined()
    expect(civilDate(NaN, 1, 1)).toBeUndefined()
  })
})

describe('An IP address', () => {
  it.each([
    ['112.17.3.4', '112.17.3.4', '112.17.3'], ['0.0.0.0', '0.0.0.0', '0.0.0'], ['::ffff:112.17.3.4', '112.17.3.4', '112.17.3'],
    ['::FFFF:7011:304', '112.17.3.4', '112.17.3'],
    ['2001:DB8::1', '2001:db8:0:0:0:0:0:1', '2001:db8:0'], ['2001:0db8:0000:0:0:0:0:0001', '2001:db8:0:0:0:0:0:1', '2001:db8:0'], ['::',
    '0:0:0:0:0:0:0:0', '0:0:0'],
    ['1::', '1:0:0:0:0:0:0:0', '1:0:0'], ['64:ff9b::1.2.3.4', '64:ff9b:0:0:0:0:102:304', '64:ff9b:0'],
  ])('%s is %s in %s', (text, address, network) => { expect(parseIp(text)).toEqual({ address, network }) })

  it.each(['', '999.1.1.1', '1.2.3', '1.2.3.4.5', '1.2.3.4.', '01.2.3.4', '1.2.3.4/24', ':', ':::', '1::2::3', '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8:9', 'fe80::1%eth0', '12345::', '::1.2.3.999', 'localhost', ':1:2:3:4:5:6:7'])(
    '"%s" is none', (text) => { expect(parseIp(text)).toBeUndefined() })
})
