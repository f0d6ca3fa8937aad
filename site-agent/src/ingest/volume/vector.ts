/** Three numbers at a time. */
export type Vector = readonly [number, number, number];

export const dot = ([ax, ay, az]: Vector, [bx, by, bz]: Vector): number => ax * bx + ay * by + az * bz;

export const cross = ([ax, ay, az]: Vector, [bx, by, bz]: Vector): Vector => [
  ay * bz - az * by,
  az * bx - ax * bz,
  ax * by - ay * bx,
];

export const minus = ([ax, ay, az]: Vector, [bx, by, bz]: Vector): Vector => [ax - bx, ay - by, az - bz];

export const times = ([x, y, z]: Vector, factor: number): Vector => [x * factor, y * factor, z * factor];

export const length = (v: Vector): number => Math.sqrt(dot(v, v));
