/**
 * casync's remote protocol as bytes and back, without processes, files or network; for programs that
 * bring a connection of their own.
 * @module
 */
export { checkFeatures, remoteFeatures } from "./features.ts";
export { FrameReader } from "./frame-reader.ts";
export {
  decodeFrame,
  encodeMessage,
  frameHeaderSize,
  maxChunkPayload,
  maxFrameSize,
  type Message,
  type MessageType,
} from "./messages.ts";
