import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { ApiDeps } from './deps.js'

/**
 * What the log says of calls. Never a URL, a header, a body or an error's message: those can hold identities.
 * A release second brings thousands of equal lines, so good scores go to debug, and of refusals and faults the first of
 * each second is written, with the number left out since the one before; the metrics count them all.
 */
export interface AnswerLog {
  answered: (request: FastifyRequest, reply: FastifyReply) => void
  /** Turned away before it became a request of Fastify's. */
  refused: (route: string, status: number) => void
  failed: (error: FastifyError, request: FastifyRequest) => void
}

const PAUSE_MS = 1_000

export function createAnswerLog({ log, now }: Pick<ApiDeps, 'log' | 'now'>): AnswerLog {
  const refusals = createSieve(now)
  const faults = createSieve(now)
  return {
    answered: (request, reply) => {
      const { url: route = 'unknown', config } = request.routeOptions
      const status = reply.statusCode
      const line = { method: request.method, route, status, ms: Math.round(reply.elapsedTime * 10) / 10, by: request.caller?.id }
      if (status === 429 || status >= 500) {
        const omitted = refusals(`${route} ${status}`)
        if (omitted !== undefined) log.warn({ ...line, omitted }, 'answered')
      } else if (config.quiet && status < 400) {
        log.debug(line, 'answered')
      } else {
        log.info(line, 'answered')
      }
    },
    refused: (route, status) => {
      const omitted = refusals(`${route} ${status}`)
      if (omitted !== undefined) log.warn({ route, status, omitted }, 'answered')
    },
    failed: (error, request) => {
      const route = request.routeOptions.url ?? 'unknown'
      const omitted = faults(`${route} ${error.name}`)
      if (omitted !== undefined) log.error({ route, fault: faultOf(error), omitted }, 'a call failed')
    },
  }
}

/** Lets the first of a kind through in each pause; says how many it held back since the one before. */
function createSieve(now: () => number): (kind: string) => number | undefined {
  const kinds = new Map<string, { until: number; omitted: number }>()
  return (kind) => {
    const known = kinds.get(kind)
    if (known && now() < known.until) {
      known.omitted += 1
      return undefined
    }
    kinds.set(kind, { until: now() + PAUSE_MS, omitted: 0 })
    return known?.omitted ?? 0
  }
}

/** Of a fault its class, code and place. */
function faultOf(error: FastifyError): { name: string; code: string | undefined; at: string[] } {
  const at = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)).slice(0, 8).map((line) => line.trim())
  return { name: error.name, code: (error as { code?: string }).code, at }
}
