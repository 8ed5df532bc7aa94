// SPDX-License-Identifier: Apache-2.0
//! A block's length is in bytes: with wider elements its slice would be that many times too long.
use aegis_memory::pool::{LockFreePool, PoolBlock};

fn of_eight_bytes(_: &PoolBlock<'_, LockFreePool, [u8; 8]>) {} //~ E0277

fn of_anything<T>(_: &PoolBlock<'_, LockFreePool, T>) {} //~ E0277

fn main() {}
