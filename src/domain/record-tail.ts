import type { Recorded } from './record.js'

/** The newest records of a journal in memory, so that readers that keep up never ask its store. Records may come with gaps. */
export class RecordTail {
  /** By position modulo its length. */
  private readonly records: (Recorded | undefined)[]

  constructor(private readonly length: number) { this.records = Array.from({ length }) }

  put(record: Recorded): void { this.records[record.seq % this.length] = record }

  at(seq: number): Recorded | undefined {
    const record = this.records[seq % this.length]
    return record?.seq === seq ? record : undefined
  }

  /** What is known of the records from `seq` on, without a gap, `end` and `most` at most. */
  run(seq: number, end: number, most: number): Recorded[] {
    const run: Recorded[] = []
    for (let record = this.at(seq); record && record.seq <= end && run.length < most; record = this.at(record.seq + 1)) run.push(record)
    return run
  }
}
