/** A full request of a made-up person: the ID number only carries a valid checksum. */
export const SECRETS = { idNumber: '11010119900307029X', name: '测试甲', phone: '13800001234' }

export const request = {
  event_id: 'e-000001',
  type: 'booking.requested',
  occurred_at: '2026-11-20T07:00:00.412+08:00',
  order_id: 'o-000001',
  channel: { id: 'wechat', kind: 'mini_program' },
  account: { id: 'a-81723', registered_at: '2025-03-02T10:11:12.000+08:00' },
  patient: {
    id_type: '01', id_number: SECRETS.idNumber, name: SECRETS.name, phone: SECRETS.phone,
    sex: 'M', birth_date: '1990-03-07', relation: 'self', bound_at: '2025-03-02T10:12:00.000+08:00',
  },
  slot: {
    hospital_id: 'h-007', department_id: 'cardiology', doctor_id: 'd-1021', clinic: 'expert', schedule_id: 's-1', slot_id: 's-1-07',
    visit_at: '2026-11-27T09:00:00.000+08:00', released_at: '2026-11-20T07:00:00.000+08:00', fee_fen: 5000, sex_limit: 'any', age_min: 0, age_max: 150,
  },
  device: { id: 'dv-55', model: 'M2012', os: 'android 13', app_version: '5.2.1', emulator: false, rooted: false },
  network: { ip: '112.17.3.4', proxy: false, datacenter: false },
  session: { id: 'ss-9', opened_at: '2026-11-20T06:59:31.000+08:00', page_views: 3, captcha_ms: 2300 },
  payer: { id: 'p-771' },
  operator: { id: 'op-12', seat: '12580-0231' },
}

/** The request with the member at a JSON pointer set to `value`; undefined takes it away. The original stays as it is. */
export function requestWith(pointer: string, value: unknown): Record<string, unknown> {
  const copy: Record<string, unknown> = structuredClone(request)
  const names = pointer.split('/').slice(1)
  const last = names.pop() ?? ''
  let at = copy
  for (const name of names) at = at[name] as Record<string, unknown>
  if (value === undefined) Reflect.deleteProperty(at, last)
  else at[last] = value
  return copy
}
