// SPDX-License-Identifier: Apache-2.0
//! The functions that the headers define inline because they pass the size of a struct: see
//! "Structs that grow" in `base.h`. The library has only their `_sized` forms. Rust needs no
//! `aegis_version_fits`, because the crate is compiled with its library.

use super::*;
use core::mem::size_of;

macro_rules! sized {
    ($(fn $name:ident($($parameter:ident: $of:ty),+ $(,)?) $(-> $result:ty)? = $call:expr;)+) => {$(
        /// # Safety
        ///
        /// As in the C header: see the function of the same name there.
        #[inline]
        pub unsafe fn $name($($parameter: $of),+) $(-> $result)? {
            // SAFETY: the caller keeps the contract of the C function, and each size is that of the
            // struct that the caller passes.
            unsafe { $call }
        }
    )+};
}

sized! {
    fn aegis_arena_init(
        arena: *mut aegis_arena,
        options: *const aegis_arena_options,
    ) -> aegis_status =
        aegis_arena_init_sized(arena, options, size_of::<aegis_arena_options>());
    fn aegis_arena_get_stats(arena: *const aegis_arena, stats: *mut aegis_arena_stats) =
        aegis_arena_get_stats_sized(arena, stats, size_of::<aegis_arena_stats>());
    fn aegis_arena_next_block(
        arena: *const aegis_arena,
        previous: *const aegis_arena_block,
        info: *mut aegis_arena_block_info,
    ) -> *const aegis_arena_block =
        aegis_arena_next_block_sized(arena, previous, info, size_of::<aegis_arena_block_info>());
    fn aegis_arena_heap_init(
        heap: *mut aegis_arena_heap,
        options: *const aegis_arena_options,
    ) -> aegis_status =
        aegis_arena_heap_init_sized(heap, options, size_of::<aegis_arena_options>());
    fn aegis_arena_heap_get_stats(
        heap: *const aegis_arena_heap,
        stats: *mut aegis_arena_heap_stats,
    ) =
        aegis_arena_heap_get_stats_sized(heap, stats, size_of::<aegis_arena_heap_stats>());
    fn aegis_arena_recycler_init(
        recycler: *mut aegis_arena_recycler,
        options: *const aegis_arena_recycler_options,
    ) -> aegis_status =
        aegis_arena_recycler_init_sized(recycler, options,
            size_of::<aegis_arena_recycler_options>(), size_of::<aegis_arena_options>());
    fn aegis_arena_recycler_get_stats(
        recycler: *const aegis_arena_recycler,
        stats: *mut aegis_arena_recycler_stats,
    ) =
        aegis_arena_recycler_get_stats_sized(recycler, stats,
            size_of::<aegis_arena_recycler_stats>());
    fn aegis_budget_get_figures(budget: *const aegis_budget, figures: *mut aegis_budget_figures) =
        aegis_budget_get_figures_sized(budget, figures, size_of::<aegis_budget_figures>());
    fn aegis_budget_snapshot(
        budget: *mut aegis_budget,
        figures: *mut aegis_budget_figures,
        capacity: usize,
    ) -> usize =
        aegis_budget_snapshot_sized(budget, figures, size_of::<aegis_budget_figures>(), capacity);
    fn aegis_budget_get_peak(budget: *mut aegis_budget, peak: *mut aegis_budget_peak) =
        aegis_budget_get_peak_sized(budget, peak, size_of::<aegis_budget_peak>());
    fn aegis_budget_explain_peak(
        peak: *const aegis_budget_peak,
        buffer: *mut core::ffi::c_char,
        buffer_bytes: usize,
    ) -> usize =
        aegis_budget_explain_peak_sized(peak,
            size_of::<aegis_budget_peak>(), buffer, buffer_bytes);
    fn aegis_budget_get_refusal(error: *const aegis_error, refusal: *mut aegis_budget_refusal) =
        aegis_budget_get_refusal_sized(error, refusal, size_of::<aegis_budget_refusal>());
    fn aegis_budget_explain(
        refusal: *const aegis_budget_refusal,
        buffer: *mut core::ffi::c_char,
        buffer_bytes: usize,
    ) -> usize =
        aegis_budget_explain_sized(refusal,
            size_of::<aegis_budget_refusal>(), buffer, buffer_bytes);
    fn aegis_budget_get_terms(budget: *mut aegis_budget, terms: *mut aegis_budget_terms) =
        aegis_budget_get_terms_sized(budget, terms, size_of::<aegis_budget_terms>());
    fn aegis_buffer_pool_init(
        pool: *mut aegis_buffer_pool,
        options: *const aegis_buffer_pool_options,
    ) -> aegis_status =
        aegis_buffer_pool_init_sized(pool, options, size_of::<aegis_buffer_pool_options>());
    fn aegis_buffer_pool_get_stats(
        pool: *const aegis_buffer_pool,
        stats: *mut aegis_buffer_pool_stats,
    ) =
        aegis_buffer_pool_get_stats_sized(pool, stats, size_of::<aegis_buffer_pool_stats>());
    fn aegis_keyed_pool_init(
        pool: *mut aegis_keyed_pool,
        options: *const aegis_pool_options,
    ) -> aegis_status =
        aegis_keyed_pool_init_sized(pool, options, size_of::<aegis_pool_options>());
    fn aegis_keyed_pool_get_stats(pool: *const aegis_keyed_pool, stats: *mut aegis_pool_stats) =
        aegis_keyed_pool_get_stats_sized(pool, stats, size_of::<aegis_pool_stats>());
    fn aegis_lock_free_arena_init(
        arena: *mut aegis_lock_free_arena,
        options: *const aegis_lock_free_arena_options,
        error: *mut aegis_error,
    ) -> aegis_status =
        aegis_lock_free_arena_init_sized(arena, options,
            size_of::<aegis_lock_free_arena_options>(), error);
    fn aegis_lock_free_arena_get_stats(
        arena: *const aegis_lock_free_arena,
        stats: *mut aegis_arena_stats,
    ) =
        aegis_lock_free_arena_get_stats_sized(arena, stats, size_of::<aegis_arena_stats>());
    fn aegis_lock_free_pool_init(
        pool: *mut aegis_lock_free_pool,
        options: *const aegis_lock_free_pool_options,
    ) -> aegis_status =
        aegis_lock_free_pool_init_sized(pool, options,
            size_of::<aegis_lock_free_pool_options>(), size_of::<aegis_pool_options>());
    fn aegis_lock_free_pool_get_slab(
        pool: *const aegis_lock_free_pool,
        slab: usize,
        info: *mut aegis_pool_slab_info,
    ) -> aegis_status =
        aegis_lock_free_pool_get_slab_sized(pool, slab, info, size_of::<aegis_pool_slab_info>());
    fn aegis_lock_free_pool_get_stats(
        pool: *const aegis_lock_free_pool,
        stats: *mut aegis_pool_stats,
    ) =
        aegis_lock_free_pool_get_stats_sized(pool, stats, size_of::<aegis_pool_stats>());
    fn aegis_locked_arena_init(
        arena: *mut aegis_locked_arena,
        options: *const aegis_arena_options,
        error: *mut aegis_error,
    ) -> aegis_status =
        aegis_locked_arena_init_sized(arena, options, size_of::<aegis_arena_options>(), error);
    fn aegis_locked_arena_heap_init(
        heap: *mut aegis_locked_arena_heap,
        options: *const aegis_arena_options,
        error: *mut aegis_error,
    ) -> aegis_status =
        aegis_locked_arena_heap_init_sized(heap, options, size_of::<aegis_arena_options>(), error);
    fn aegis_locked_arena_heap_get_stats(
        heap: *const aegis_locked_arena_heap,
        stats: *mut aegis_arena_heap_stats,
    ) =
        aegis_locked_arena_heap_get_stats_sized(heap, stats,
            size_of::<aegis_arena_heap_stats>());
    fn aegis_locked_arena_get_stats(arena: *const aegis_locked_arena, stats: *mut aegis_arena_stats) =
        aegis_locked_arena_get_stats_sized(arena, stats, size_of::<aegis_arena_stats>());
    fn aegis_locked_pool_init(
        pool: *mut aegis_locked_pool,
        options: *const aegis_pool_options,
    ) -> aegis_status =
        aegis_locked_pool_init_sized(pool, options, size_of::<aegis_pool_options>());
    fn aegis_locked_pool_get_slab(
        pool: *const aegis_locked_pool,
        slab: usize,
        info: *mut aegis_pool_slab_info,
    ) -> aegis_status =
        aegis_locked_pool_get_slab_sized(pool, slab, info, size_of::<aegis_pool_slab_info>());
    fn aegis_locked_pool_get_stats(pool: *const aegis_locked_pool, stats: *mut aegis_pool_stats) =
        aegis_locked_pool_get_stats_sized(pool, stats, size_of::<aegis_pool_stats>());
    fn aegis_page_cache_init(
        cache: *mut aegis_page_cache,
        options: *const aegis_page_cache_options,
    ) -> aegis_status =
        aegis_page_cache_init_sized(cache, options, size_of::<aegis_page_cache_options>());
    fn aegis_page_cache_open(
        cache: *const aegis_page_cache,
        store: *const aegis_page_store,
        hooks: *const aegis_page_hooks,
        file: *mut u32,
        error: *mut aegis_page_error,
    ) -> aegis_status =
        aegis_page_cache_open_sized(cache, store, size_of::<aegis_page_store>(), hooks,
            size_of::<aegis_page_hooks>(), file, error);
    fn aegis_page_cache_get_stats(
        cache: *const aegis_page_cache,
        stats: *mut aegis_page_cache_stats,
    ) =
        aegis_page_cache_get_stats_sized(cache, stats, size_of::<aegis_page_cache_stats>());
    fn aegis_page_cache_get_file_stats(
        cache: *const aegis_page_cache,
        file: u32,
        stats: *mut aegis_page_file_stats,
    ) -> aegis_status =
        aegis_page_cache_get_file_stats_sized(cache, file, stats,
            size_of::<aegis_page_file_stats>());
    fn aegis_pool_init(pool: *mut aegis_pool, options: *const aegis_pool_options) -> aegis_status =
        aegis_pool_init_sized(pool, options, size_of::<aegis_pool_options>());
    fn aegis_pool_get_slab(
        pool: *const aegis_pool,
        slab: usize,
        info: *mut aegis_pool_slab_info,
    ) -> aegis_status =
        aegis_pool_get_slab_sized(pool, slab, info, size_of::<aegis_pool_slab_info>());
    fn aegis_pool_get_stats(pool: *const aegis_pool, stats: *mut aegis_pool_stats) =
        aegis_pool_get_stats_sized(pool, stats, size_of::<aegis_pool_stats>());
}
