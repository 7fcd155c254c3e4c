/**
 * Checks of a whole store elsewhere: what it lists is fetched, some chunks at once, and compared with its name.
 * @module
 */
import { errorMessage } from "@imgtool/core";
import { type ListStore, maxStoredBytes, StoreCipher, type StoreEntry, type StoreKey } from "@imgtool/store";
import { maxSealedBytes } from "@imgtool/store/blocking";
import type { Problem } from "./verify-problem.ts";
import { type Checked, checkNamed, namedProblem } from "./verify-work.ts";

/** Chunks that are fetched at once: enough for a network, and each may take 128 MiB. */
const atOnce = 8;

/**
 * Yields what each entry of the store came to.
 * @throws what the store throws; ConfigError `store-encrypted`; AbortedError
 */
export async function* verifyListed(
  store: ListStore,
  key: StoreKey | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Checked, void> {
  const cipher = key === undefined ? undefined : new StoreCipher(key);
  const checks: Promise<Checked>[] = [];
  for await (const entry of store.list(signal)) {
    if (entry.kind === "stray") {
      const { path, reason } = entry;
      yield problem({ code: "stray", message: `${path} does not belong here: ${reason}`, path }, 0);
    }
    if (entry.kind !== "chunk") continue;
    const check = checkEntry(store, entry, cipher, signal);
    // It is awaited later: an error of another one may end the run before.
    check.catch(() => {});
    checks.push(check);
    const oldest = checks.length < atOnce ? undefined : checks.shift();
    if (oldest !== undefined) yield await oldest;
  }
  for (const check of checks) yield await check;
}

async function checkEntry(
  store: ListStore,
  { name: chunk, path }: Extract<StoreEntry, { kind: "chunk" }>,
  cipher: StoreCipher | undefined,
  signal: AbortSignal | undefined,
): Promise<Checked> {
  const place = { chunk, path, cipher, store: store.location };
  try {
    const found = await store.get(chunk, signal, maxSealedBytes(maxStoredBytes()));
    // gone since it was listed
    if (found === undefined) return { chunks: 0, bytes: 0, problems: [] };
    if (found.bytes.length === 0)
      return problem({ code: "chunk-altered", message: `${path}: expected a chunk, found an empty file`, path, chunk });
    const { bytes, reason } = checkNamed(found, place);
    const problems: Problem[] =
      reason === undefined ? [] : [{ code: "chunk-altered", message: `${path}: ${reason}`, path, chunk }];
    return { chunks: 1, bytes, problems };
  } catch (error) {
    return problem({ code: namedProblem(error), message: `${path}: ${errorMessage(error)}`, path, chunk });
  }
}

function problem(found: Problem, chunks = 1): Checked {
  return { chunks, bytes: 0, problems: [found] };
}
