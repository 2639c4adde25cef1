import type { OnExpiry } from './decision.js'

export const HOLD_STATUSES = ['active', 'released', 'rejected', 'expired', 'cancelled'] as const
export type HoldStatus = (typeof HOLD_STATUSES)[number]
export type Resolution = Exclude<HoldStatus, 'active'>
export type HoldAction = 'confirm' | 'return_to_pool' | 'none'

/** A lease on an unconfirmed booking, as it is placed. Times are epoch milliseconds. */
export interface Hold {
  holdId: string
  eventId: string
  orderId: string
  hospitalId: string
  scheduleId: string
  placedAt: number
  expiresAt: number
  onExpiry: OnExpiry
}

/** A hold as it stands now. */
export interface HoldState extends Hold {
  status: HoldStatus
  resolvedAt?: number
  resolvedBy?: string
  reason?: string
  action?: HoldAction
}

/** Message on `booking-holds` and body of the callback (CONTRACT section 2, wire names). */
export interface HoldResolved {
  hold_id: string
  event_id: string
  order_id: string
  resolution: Resolution
  action: HoldAction
  by: string
  reason: string
  at: string
}

/**
 * What each resolution makes the booking core do. A person releases to the patient, rejects to the pool;
 * an expiry follows the policy the hold was placed under; a dead order needs nothing.
 */
export function actionOf(resolution: Resolution, onExpiry: OnExpiry): HoldAction {
  switch (resolution) {
    case 'released': return 'confirm'
    case 'rejected': return 'return_to_pool'
    case 'expired': return onExpiry
    case 'cancelled': return 'none'
  }
}
