import type { ChallengeKind, OnExpiry } from '../domain/decision.js'
import type { Enforcement, Policy, PolicyPatch } from '../domain/policy.js'

/** A hospital's override as it travels: every member may be absent and is then inherited. Times in milliseconds. */
export interface WirePatch {
  enforcement?: Enforcement
  thresholds?: { challenge?: number; throttle?: number; hold?: number }
  challenge_kind?: ChallengeKind
  hold?: { for_ms?: number; on_expiry?: OnExpiry }
  throttle?: { wait_ms?: number; spacing_ms?: number }
  degraded_velocity?: Policy['degradedVelocity']
}

type Loose<T> = { [K in keyof T]: T[K] | undefined }

/** Without the members that are undefined: absent stays absent. */
const compact = <T extends object>(loose: Loose<Required<T>>): T => Object.fromEntries(Object.entries(loose).filter(([, value]) => value !== undefined)) as T

export const patchFromWire = (wire: WirePatch): PolicyPatch => compact<PolicyPatch>({
  enforcement: wire.enforcement,
  thresholds: wire.thresholds,
  challengeKind: wire.challenge_kind,
  hold: wire.hold && compact<NonNullable<PolicyPatch['hold']>>({ forMs: wire.hold.for_ms, onExpiry: wire.hold.on_expiry }),
  throttle: wire.throttle && compact<NonNullable<PolicyPatch['throttle']>>({ waitMs: wire.throttle.wait_ms, spacingMs: wire.throttle.spacing_ms }),
  degradedVelocity: wire.degraded_velocity,
})

/** Members always in the same order, so that two patches with the same content have the same JSON. */
export const patchToWire = (patch: PolicyPatch): WirePatch => compact<WirePatch>({
  enforcement: patch.enforcement,
  thresholds: patch.thresholds && compact<NonNullable<WirePatch['thresholds']>>({
    challenge: patch.thresholds.challenge, throttle: patch.thresholds.throttle, hold: patch.thresholds.hold,
  }),
  challenge_kind: patch.challengeKind,
  hold: patch.hold && compact<NonNullable<WirePatch['hold']>>({ for_ms: patch.hold.forMs, on_expiry: patch.hold.onExpiry }),
  throttle: patch.throttle && compact<NonNullable<WirePatch['throttle']>>({ wait_ms: patch.throttle.waitMs, spacing_ms: patch.throttle.spacingMs }),
  degraded_velocity: patch.degradedVelocity,
})
