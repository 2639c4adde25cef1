import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createLedger, type Ledger } from '../chaos/ledger.js'
import { recount } from '../chaos/recount.js'
import { openSite, type Member, type Site } from '../chaos/site.js'
import { createClient, type Client } from '../support/client.js'
import { openOutsideKafka, type OutsideKafka } from '../support/outside-kafka.js'
import { seeded } from '../support/people.js'
import { runCommand } from '../support/process.js'
import { cityTraffic, type WireEvent } from '../support/traffic.js'

/** How soon another process publishes in the place of one that was killed; milliseconds. Its lock is tried for every 400 ms. */
const HEIR_WITHIN_MS = 5_000
const IN_TIME = { timeout: 20_000, interval: 50 }

interface Answer { event_id: string; outcome: string; degraded: string[]; hold?: { hold_id: string } }
const read = (text: string): Answer => JSON.parse(text) as Answer

describe('two API processes and two workers over shared stores', () => {
  let site: Site | undefined
  let kafka: OutsideKafka | undefined
  let ledger: Ledger
  /** A booking core and a risk lead for each process. */
  let cores: Client[] = []
  let leads: Client[] = []
  const topics = new Map<string, string[]>()
  const onTopic = (topic: string, id: string): string[] => (topics.get(topic) ?? []).filter((text) => text.includes(`"${id}"`))
  const first = <T>(list: readonly T[], n = 0): T => { const one = list[n]; if (one === undefined) throw new Error(`there is no ${n}`); return one }

  const untilWhole = async (): Promise<void> => {
    for (const api of cores) await vi.waitFor(async () => { expect((await api.call('GET', '/readyz')).text).toMatch(/"counters":\{"ok":true/) }, IN_TIME)
  }

  beforeAll(async () => {
    site = await openSite({ settings: { LOG_LEVEL: 'info' } })
    if (!site) return
    ledger = createLedger(() => undefined)
    kafka = await openOutsideKafka(site.brokers)
    await kafka.follow(['booking-decisions', 'booking-holds'], (topic, { value }) => { topics.set(topic, [...(topics.get(topic) ?? []), value.toString('utf8')]) })
    const [core, lead] = await Promise.all([site.key('booking_core'), site.key('risk_lead')])
    cores = site.apis.map(({ url }) => createClient(url, core))
    leads = site.apis.map(({ url }) => createClient(url, lead))
    // Counters that are filled for the first time are not whole for a moment.
    await untilWhole()
  }, 180_000)
  afterAll(async () => {
    await kafka?.close()
    await site?.stop()
  })

  const on = (title: string, body: (site: Site, kafka: OutsideKafka) => Promise<void>): void => {
    it(title, async ({ skip }) => { if (!site || !kafka) skip(); else await body(site, kafka) }, 60_000)
  }

  let seed = 0
  /** A gang's story at a hospital: about seven of its bookings are held. */
  function gangAt(hospital: string): WireEvent[] {
    const [story] = cityTraffic({ seed: ++seed, events: 1, endMs: Date.now(), hospitals: [hospital] })
    if (!story) throw new Error('a story is expected')
    for (const event of story.events) ledger.noteSent(event)
    return story.events
  }

  /** One event after the other, each through the other process. Returns the decisions' bytes. */
  async function tell(events: readonly WireEvent[]): Promise<string[]> {
    const decisions: string[] = []
    for (const [n, event] of events.entries()) {
      const isRequest = event.type === 'booking.requested'
      const { status, text } = await first(cores, n % 2).call('POST', isRequest ? '/v1/score' : '/v1/events', { body: event })
      expect(status, text).toBe(200)
      if (isRequest) decisions.push(text)
    }
    return decisions
  }

  let held: string[] = []

  on('decide an event once that comes to both at once and over the stream, and each booking is on the topic once', async (_, outside) => {
    for (const event of gangAt('h-one')) {
      const isRequest = event.type === 'booking.requested'
      const [road, body] = isRequest ? ['/v1/score', event] : ['/v1/events', [event]]
      const sending = outside.send('booking-events', [{ key: null, value: JSON.stringify(event) }])
      const answers = await Promise.all(cores.map((core) => core.insist('POST', road, { body })))
      await sending
      expect(answers.map(({ status }) => status)).toEqual([200, 200])
      if (!isRequest) continue
      expect(first(answers, 0).text).toBe(first(answers, 1).text)
      expect(read(first(answers).text).degraded).toEqual([])
      held.push(first(answers).text)
    }
    for (const bytes of held) await vi.waitFor(() => { expect(onTopic('booking-decisions', read(bytes).event_id)).toEqual([bytes]) }, IN_TIME)
    held = held.filter((bytes) => read(bytes).outcome === 'hold')
    expect(held.length).toBeGreaterThan(1)
  })

  on('end a hold once, whichever process placed it and whichever is asked', async () => {
    for (const [n, bytes] of held.entries()) {
      const id = read(bytes).hold?.hold_id ?? ''
      const answers = await Promise.all([first(leads, n % 2).call('POST', `/v1/holds/${id}/release`, { body: { reason: 'looked at' } }), first(leads, 1 - (n % 2)).call('POST', `/v1/holds/${id}/reject`, { body: { reason: 'looked at' } })])
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 409])
      const states = await Promise.all(leads.map(async (lead) => (JSON.parse((await lead.call('GET', `/v1/holds/${id}`)).text) as { status: string }).status))
      expect(states[0]).toBe(states[1])
      await vi.waitFor(() => { expect(onTopic('booking-holds', id)).toHaveLength(1) }, IN_TIME)
      expect(first(onTopic('booking-holds', id))).toContain(`"resolution":"${states[0] ?? ''}"`)
    }
  })

  on('have a policy in force that was changed through the other', async () => {
    expect((await first(leads).call('PUT', '/v1/policies/h-watch', { body: { enforcement: 'observe' } })).status).toBe(200)
    await vi.waitFor(async () => { expect((await first(leads, 1).call('GET', '/v1/policies/h-watch')).text).toContain('"enforcement":"observe"') }, IN_TIME)
    const [watched, enforced] = [await tell(gangAt('h-watch')), await tell(gangAt('h-enforce'))]
    expect(watched.map((bytes) => read(bytes).outcome)).toEqual(watched.map(() => 'allow'))
    expect(enforced.map((bytes) => read(bytes).outcome)).toContain('hold')
  })

  on('have the same counters after `zhenhao rebuild`, and each event in them once', async (open) => {
    const { code, stdout, stderr } = await runCommand(['rebuild'], first(open.apis, 1).settings)
    expect(code, stderr).toBe(0)
    expect(stdout).toContain(`Rebuilt from ${ledger.sent.size} events`)
    await untilWhole()
    const requests = [...ledger.sent.values()].filter(({ type }) => type === 'booking.requested').map((event) => event.event_id)
    const { probes, miscounted } = await recount(first(cores), first(leads, 1), ledger, [requests], seeded(5))
    expect(probes).toBeGreaterThan(5)
    expect(miscounted).toEqual([])
  })

  on('publish on when the one that publishes is killed', async (open) => {
    const publishes = (member: Member): boolean => /"work":"outgoing","msg":"this process leads now"/.test(member.output())
    const members = [...open.apis, ...open.workers]
    const leader = members.find(publishes)
    if (!leader) throw new Error('nobody publishes')
    const other = first(cores, leader === first(open.apis) ? 1 : 0)
    await leader.kill()
    const killedAt = Date.now()
    const [booking] = gangAt('h-heir').filter(({ type }) => type === 'booking.requested')
    const { text } = await other.insist('POST', '/v1/score', { body: booking })
    await vi.waitFor(() => { expect(onTopic('booking-decisions', booking?.event_id ?? '')).toContain(text) }, IN_TIME)
    expect(Date.now() - killedAt).toBeLessThan(HEIR_WITHIN_MS)
    expect(members.filter((member) => member !== leader && publishes(member))).toHaveLength(1)
    await leader.start()
  })
})
