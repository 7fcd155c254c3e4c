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
