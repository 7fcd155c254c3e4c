/**
 * Where a stream's bytes are written to: memory that the sink hands out, so that contents are read
 * straight to where they are used.
 * @module
 */
export interface StreamSink {
  /** Where the next bytes go: a view of at least one byte. Fill its beginning, then advance(). */
  space(): Promise<Uint8Array>;
  /** As space(), but undefined where it would wait. */
  trySpace(): Uint8Array | undefined;
  /** Takes the first `count` bytes of the view that was handed out as the stream's next. */
  advance(count: number): void;
  /** Works on what was taken; false when it would wait, and then cut() is to be called. */
  tryCut(): boolean;
  cut(): Promise<void>;
  /** Copies bytes into the stream, if there is space for all at once: else false, and nothing is taken. */
  tryWrite(bytes: Uint8Array): boolean;
  write(bytes: Uint8Array): Promise<void>;
  /** Takes so many zeros as the next of the stream. */
  writeZeros(length: number): Promise<void>;
}

/** tryWrite() of any sink. */
export function tryWriteBytes(sink: StreamSink, bytes: Uint8Array): boolean {
  const view = sink.trySpace();
  if (view === undefined || view.length < bytes.length) return false;
  view.set(bytes);
  sink.advance(bytes.length);
  // What cannot be cut now is cut with the next bytes, or while space() waits.
  sink.tryCut();
  return true;
}

/** write() of any sink. */
export async function writeBytes(sink: StreamSink, bytes: Uint8Array): Promise<void> {
  for (let from = 0; from < bytes.length;) {
    const view = sink.trySpace() ?? (await sink.space());
    const count = Math.min(view.length, bytes.length - from);
    view.set(bytes.subarray(from, from + count));
    from += count;
    sink.advance(count);
    if (!sink.tryCut()) await sink.cut();
  }
}

/** writeZeros() of any sink, byte by byte. */
export async function fillZeros(sink: StreamSink, length: number): Promise<void> {
  for (let left = length; left > 0;) {
    const view = sink.trySpace() ?? (await sink.space());
    const count = Math.min(view.length, left);
    view.fill(0, 0, count);
    left -= count;
    sink.advance(count);
    if (!sink.tryCut()) await sink.cut();
  }
}
