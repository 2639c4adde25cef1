import type { Told } from './small-city.js'

/** One request: what single fields say, and whether a gang made it. */
export interface Row { numbers: Readonly<Record<string, number | undefined>>; kinds: Readonly<Record<string, string>>; isScalper: boolean }

const since = (at: number, text: string | undefined): number | undefined => text === undefined ? undefined : at - Date.parse(text)
const milliseconds = (text: string | undefined): number | undefined => text === undefined ? undefined : Date.parse(text) % 1_000
/** An id as a number: were it counted up, or made another way by gangs, it would tell. */
const opening = (id: string | undefined): number | undefined => id === undefined ? undefined : parseInt(id.split('-')[1]?.slice(0, 6) ?? '', 16)

/** Every raw field and the simple values derived from it. */
export function rowOf(told: Told, text: string, isScalper: boolean): Row {
  const { patient, slot, session, account, device, network, channel } = told
  const at = Date.parse(told.occurred_at), id = patient?.id_number ?? ''
  const isPresent = (names: readonly string[]): Record<string, string> => Object.fromEntries(names.map((name) => {
    const [outer = '', inner] = name.split('.')
    const value = told[outer as keyof Told] as Record<string, unknown> | undefined
    return [`has ${name}`, String(inner === undefined ? value !== undefined : value?.[inner] !== undefined)]
  }))
  return {
    isScalper,
    numbers: {
      'session length': since(at, session?.opened_at), captcha_ms: session?.captcha_ms, page_views: session?.page_views, 'account age': since(at, account?.registered_at),
      'binding age': since(at, patient?.bound_at), 'since release': since(at, slot?.released_at), 'lead to visit': -(since(at, slot?.visit_at) ?? 0), hour: new Date(at + 8 * 3_600_000).getUTCHours(),
      second: new Date(at).getUTCSeconds(), millisecond: at % 1_000, fee_fen: slot?.fee_fen, 'age of patient': 2026 - Number(patient?.birth_date.slice(0, 4)), 'serial in the ID': Number(id.slice(14, 17)),
      'phone, last four': Number(patient?.phone.slice(7)), 'length of the event': text.length, 'length of the name': patient?.name.length, 'host of the address': Number(network?.ip.split('.')[3] ?? NaN) || undefined,
      'event id': opening(told.event_id), 'order id': opening(told.order_id), 'account id': opening(account?.id), 'device id': opening(device?.id), 'payer id': opening(told.payer?.id), 'slot id': opening(slot?.slot_id),
      'session id': opening(session?.id), 'registered, millisecond': milliseconds(account?.registered_at), 'bound, millisecond': milliseconds(patient?.bound_at), 'opened, millisecond': milliseconds(session?.opened_at),
    },
    kinds: {
      'channel.kind': channel?.kind ?? '', 'channel.id': channel?.kind === 'partner' ? '' : channel?.id ?? '', relation: patient?.relation ?? '', 'virtual phone': String(/^1(?:6[257]|7[01])/.test(patient?.phone ?? '')),
      'phone, first three': patient?.phone.slice(0, 3) ?? '', emulator: String(device?.emulator), rooted: String(device?.rooted), proxy: String(network?.proxy), datacenter: String(network?.datacenter),
      clinic: slot?.clinic ?? '', os: device?.os ?? '', app_version: device?.app_version ?? '', model: device?.model ?? '', id_type: patient?.id_type ?? '', sex: patient?.sex ?? '', province: id.slice(0, 2),
      'sex agrees': String((Number(id[16]) % 2 === 1) === (patient?.sex === 'M')), surname: patient?.name.slice(0, 1) ?? '', 'order of members': Object.keys(told).join(), 'members of the patient': Object.keys(patient ?? {}).join(),
      ...isPresent(['account', 'device', 'network', 'session', 'payer', 'operator', 'patient.bound_at', 'patient.relation', 'session.captcha_ms', 'session.page_views', 'device.app_version']),
    },
  }
}

/** The area under the ROC curve, ties counted half. */
export function areaOf(pairs: readonly (readonly [score: number, isScalper: boolean])[]): number {
  const sorted = [...pairs].sort((a, b) => a[0] - b[0])
  let [ranks, scalpers] = [0, 0]
  for (let i = 0; i < sorted.length;) {
    let end = i + 1
    while (end < sorted.length && sorted[end]?.[0] === sorted[i]?.[0]) end++
    for (let k = i; k < end; k++) if (sorted[k]?.[1] === true) { ranks += (i + end + 1) / 2; scalpers++ }
    i = end
  }
  return (ranks - scalpers * (scalpers + 1) / 2) / (scalpers * (sorted.length - scalpers))
}

/** How well each field alone tells a gang's request: numbers in the better direction, kinds by their rate of scalpers in another city. */
export function areas(rows: readonly Row[], other: readonly Row[]): Map<string, number> {
  const found = new Map<string, number>()
  const [first] = rows
  if (first === undefined) return found
  for (const name of Object.keys(first.numbers)) {
    const pairs = rows.flatMap(({ numbers, isScalper }): [number, boolean][] => { const value = numbers[name]; return value === undefined ? [] : [[value, isScalper]] })
    const area = areaOf(pairs)
    found.set(name, Math.max(area, 1 - area))
  }
  for (const name of Object.keys(first.kinds)) {
    const rates = ratesOf(other, name)
    found.set(name, areaOf(rows.map(({ kinds, isScalper }): [number, boolean] => [rates(kinds[name] ?? ''), isScalper])))
  }
  return found
}

/** Smoothed: a value that was seen once says nothing. */
function ratesOf(rows: readonly Row[], name: string): (value: string) => number {
  const counts = new Map<string, [all: number, scalpers: number]>()
  for (const { kinds, isScalper } of rows) {
    const count = counts.get(kinds[name] ?? '') ?? [0, 0]
    counts.set(kinds[name] ?? '', [count[0] + 1, count[1] + (isScalper ? 1 : 0)])
  }
  const overall = rows.filter(({ isScalper }) => isScalper).length / rows.length
  return (value) => { const [all, scalpers] = counts.get(value) ?? [0, 0]; return (scalpers + 20 * overall) / (all + 20) }
}
