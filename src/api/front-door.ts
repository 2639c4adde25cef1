import { createServer } from 'node:http'
import type { FastifyServerFactory } from 'fastify'
import { problem, PROBLEM_JSON, retryAfter } from './present-error.js'
import type { Seats } from './seats.js'

export const SCORE_PATH = '/v1/score'

const BODY = JSON.stringify(problem('overloaded'))
const HEADERS = { 'content-type': PROBLEM_JSON, 'content-length': String(Buffer.byteLength(BODY)) }

/**
 * Turns score calls away before Fastify sees them, while no seat is free. In a rush far more are turned away than let in, and
 * each does so on the thread that decides the others: no key is looked up for it, and no body waited for.
 */
export function createFrontDoor({ seats, onRefused, requestTimeoutMs, keepAliveMs }: FrontDoorOptions): FastifyServerFactory {
  return (handle) => {
    const server = createServer((request, response) => {
      if (request.url !== SCORE_PATH || request.method !== 'POST' || !seats.full) { handle(request, response); return }
      response.writeHead(503, { ...HEADERS, 'retry-after': retryAfter(seats.comeAgainMs()) }).end(BODY)
      onRefused()
    })
    server.requestTimeout = requestTimeoutMs
    server.keepAliveTimeout = keepAliveMs
    return server
  }
}

export interface FrontDoorOptions {
  seats: Seats
  onRefused: () => void
  requestTimeoutMs: number
  /** A connection that falls idle stays open for so long. */
  keepAliveMs: number
}
