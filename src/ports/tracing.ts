export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

/** Traces of what a process does. No attribute ever names an event, an order or a person. */
export interface Tracing {
  /** A span around `work`, below the one that is open; `parent`, a W3C traceparent, makes it a part of a caller's trace. */
  span<T>(name: string, work: () => Promise<T>, attributes?: (result: T) => SpanAttributes, parent?: string): Promise<T>
  /** Sends what is left. */
  stop(): Promise<void>
}
