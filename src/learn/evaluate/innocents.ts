import { barOf, isTooFew, type Stage } from './bars.js'
import { rate } from './interval.js'
import { byText, groupBy, isIntercepted, isInterception, isScalper, type Booking, type GroupRow, type Report } from './report.js'

const UNNAMED = '(none)'

/** False interceptions and friction, by group: the worst first, then those with too few bookings to tell. */
export function innocentsOf(bookings: readonly Booking[], stage: Stage): Report['innocents'] {
  const legit = bookings.filter((booking) => !isScalper(booking))
  const bar = barOf('worst_group', stage)
  const groups = groupBy(legit, ({ label }) => label.group ?? UNNAMED).map(([group, own]): GroupRow => {
    const { intercepted, delayed, challenged } = countsOf(own)
    return { group, intercepted, delayed, challenged, too_few: isTooFew(bar, intercepted) }
  }).sort(byHarm)
  const { intercepted, delayed, challenged } = countsOf(legit)
  return { overall: intercepted, challenged, delayed, groups, worst: groups.find(({ too_few }) => !too_few)?.group ?? null }
}

function countsOf(own: readonly Booking[]): Pick<GroupRow, 'intercepted' | 'delayed' | 'challenged'> {
  const wrong = own.filter(isIntercepted).length
  const delayed = own.filter((booking) => !isIntercepted(booking) && booking.requests.some(isInterception)).length
  const challenged = own.filter(({ requests }) => requests.some(({ outcome }) => outcome === 'challenge')).length
  return { intercepted: rate(wrong, own.length), delayed, challenged: rate(challenged, own.length) }
}

const byHarm = (a: GroupRow, b: GroupRow): number =>
  Number(a.too_few) - Number(b.too_few) || (b.intercepted.value ?? 0) - (a.intercepted.value ?? 0) || byText(a.group, b.group)
