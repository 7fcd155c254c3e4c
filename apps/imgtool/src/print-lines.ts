/**
 * Prints long listings: many lines at once, and no faster than the reader takes them.
 * @module
 */
import { writeOut } from "./standard-output.ts";

const linesAtOnce = 1000;

/** Prints each line to standard output. */
export async function printLines(lines: AsyncIterable<string>): Promise<void> {
  let waiting: string[] = [];
  const flush = async (): Promise<void> => {
    const text = waiting.join("");
    waiting = [];
    await writeOut(text);
  };
  for await (const line of lines) {
    waiting.push(`${line}\n`);
    if (waiting.length >= linesAtOnce) await flush();
  }
  await flush();
}
