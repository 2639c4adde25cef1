/** One thing that can be killed and started again: a server, or a process of the product. */
export interface Part {
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again on what it had, however often that takes; resolves when it answers. */
  start(): Promise<void>
  /** Ends it for good and removes its files. */
  stop(): Promise<void>
}
