/**
 * Problems that are collected, so that one run shows all of them.
 * @module
 */
import { ConfigError, ImgtoolError, NotFoundError } from "@imgtool/core";

interface Found {
  readonly error: ImgtoolError;
  /** With the place that the error itself does not name. */
  readonly message: string;
}

export class Problems {
  readonly #found: Found[] = [];

  /**
   * The value of `make`, or undefined after an error of imgtool's, which is kept.
   * @param place begins the message of an error that does not name its place
   */
  attempt<Value>(make: () => Value, place?: string): Value | undefined {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof ImgtoolError)) throw error;
      const isPlaced = place === undefined || error.message.startsWith(place);
      this.#found.push({ error, message: isPlaced ? error.message : `${place}: ${error.message}` });
      return undefined;
    }
  }

  /**
   * Throws what was kept.
   * @throws ConfigError with the code of the first, a line for each, and all as data
   */
  throwAny(): void {
    const [first] = this.#found;
    if (first === undefined) return;
    const { code, data, hint } = first.error;
    if (this.#found.length === 1)
      throw new ConfigError(first.message, { code, data, ...(hint === undefined ? {} : { hint }), cause: first.error });
    const lines = this.#found.map(({ message, error }) =>
      error.hint === undefined ? message : `${message} (${error.hint})`,
    );
    throw new ConfigError([...new Set(lines)].join("\n"), {
      code,
      data: { problems: this.#found.map(({ message, error }) => ({ ...error.data, code: error.code, message })) },
    });
  }
}

/**
 * An error of the user's configuration with the place that it does not name itself; any other as it is.
 * @param place begins the message
 */
export function atPlace(error: unknown, place: string): unknown {
  const kind = [ConfigError, NotFoundError].find((one) => error instanceof one);
  if (kind === undefined || !(error instanceof ImgtoolError) || error.message.startsWith(place)) return error;
  const { code, data, hint } = error;
  const options = { code, data, ...(hint === undefined ? {} : { hint }), cause: error };
  return new kind(`${place}: ${error.message}`, options);
}
