export const ROLES = ['booking_core', 'reviewer', 'risk_lead', 'hospital', 'privacy_officer', 'admin'] as const
export type Role = (typeof ROLES)[number]

export const SCOPES = ['score', 'review', 'lists', 'rules', 'report', 'privacy', 'keys'] as const
export type Scope = (typeof SCOPES)[number]

/** CONTRACT section 3. `admin` has all; `hospital` is bound to one hospital_id. */
export const SCOPES_OF: Readonly<Record<Role, readonly Scope[]>> = {
  booking_core: ['score'],
  reviewer: ['review'],
  risk_lead: ['review', 'lists', 'rules', 'report'],
  hospital: ['report'],
  privacy_officer: ['privacy'],
  admin: SCOPES,
}

/** An API key as stored: the secret itself is never kept, only its SHA-256. */
export interface ApiKey {
  keyId: string
  secretHash: string
  role: Role
  hospitalId?: string
  cidr?: string
  createdAt: number
  revokedAt?: number
}

/** Who a call comes from, once authenticated. */
export interface Caller { id: string; role: Role; hospitalId?: string }
