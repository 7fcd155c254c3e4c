/**
 * Several locations of one store, asked in order: `https://a/store|https://b/store`, as desync writes it.
 * A member that fails is skipped for a while. A chunk that a member lacks is missing: the members are
 * copies of each other; stores that hold different chunks are extra stores.
 * @module
 */
import { AbortedError, ConfigError, FormatError, ImgtoolError, throwIfAborted } from "@imgtool/core";
import { checkChunkName } from "./chunk-path.ts";
import type { ChunkName, ReadStore, StoredChunk } from "./store.ts";

/** How long a member that has failed is asked only after the others, in milliseconds. */
export const memberRest = 30_000;

export interface FailoverMember {
  /** For messages: without credentials. */
  readonly location: string;
  /** Called when the member is asked first, and again if that failed. */
  readonly open: () => Promise<ReadStore>;
}

/** Whether a location names several places of one store. */
export function isFailoverGroup(location: string): boolean {
  return location.includes("|");
}

/** @throws ConfigError `store-group-invalid` for an empty member */
export function groupMembers(location: string): readonly string[] {
  const members = location.split("|").map((member) => member.trim());
  if (!members.includes("")) return members;
  throw new ConfigError("a group of stores has an empty member", {
    code: "store-group-invalid",
    hint: "expected locations with | between them: https://a.example/default.castr|https://b.example/default.castr",
    data: { members: members.length },
  });
}

interface Member extends FailoverMember {
  opened?: Promise<ReadStore> | undefined;
  restsUntil: number;
}

export class FailoverStore implements ReadStore {
  readonly location: string;
  readonly #members: readonly Member[];
  readonly #now: () => number;

  /** @param now milliseconds of a clock that never goes back: for tests */
  constructor(members: readonly FailoverMember[], now: () => number = () => performance.now()) {
    this.location = members.map((member) => member.location).join("|");
    this.#members = members.map(({ location, open }) => ({ location, open, restsUntil: -Infinity }));
    this.#now = now;
  }

  async has(name: ChunkName, signal?: AbortSignal): Promise<boolean> {
    checkChunkName(name);
    return this.#first((store) => store.has(name, signal), signal);
  }

  async get(name: ChunkName, signal?: AbortSignal, maxBytes?: number): Promise<StoredChunk | undefined> {
    checkChunkName(name);
    return this.#first((store) => store.get(name, signal, maxBytes), signal);
  }

  async close(): Promise<void> {
    for (const { opened } of this.#members) {
      // a member that could not be opened has nothing to close
      const store = await opened?.catch(() => undefined);
      await store?.close();
    }
  }

  /** The first answer; resting members are asked last, so that a group fails only when all of it does. */
  async #first<Answer>(ask: (store: ReadStore) => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    const now = this.#now();
    const awake = this.#members.filter((member) => member.restsUntil <= now);
    const resting = this.#members.filter((member) => member.restsUntil > now);
    let failure: ImgtoolError | undefined;
    let damage: FormatError | undefined;
    for (const member of [...awake, ...resting]) {
      throwIfAborted(signal);
      try {
        const answer = await ask(await openMember(member));
        member.restsUntil = -Infinity;
        return answer;
      } catch (error) {
        if (!(error instanceof ImgtoolError) || error instanceof AbortedError || error instanceof ConfigError)
          throw error;
        // what is wrong with one chunk says nothing about the member's others
        if (error instanceof FormatError) {
          damage ??= error;
          continue;
        }
        member.restsUntil = this.#now() + memberRest;
        failure ??= error;
      }
    }
    throw damage ?? failure ?? new ConfigError("a group of stores has no members", { code: "store-group-invalid" });
  }
}

async function openMember(member: Member): Promise<ReadStore> {
  member.opened ??= member.open();
  try {
    return await member.opened;
  } catch (error) {
    member.opened = undefined;
    throw error;
  }
}
