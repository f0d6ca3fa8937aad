/** What goes into a graph and comes out of one. */

export type TensorArray = Float32Array | Int32Array | Uint8Array;
export type NamedArrays = ReadonlyMap<string, TensorArray>;
