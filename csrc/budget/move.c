/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a charge from one budget to another, so that the budgets above both count it once at every
 * moment.
 *
 * Invariants:
 * 1. Only the budgets below the lowest common ancestor change (aegis_i_move_begin, _end and
 *    _cancel stop there). Of two budgets, one of which is above the other, the upper one is the
 *    common ancestor, and the path of the upper one is empty. Budgets of different trees, and no
 *    budget (NULL), have no common ancestor: then the paths go up to the roots.
 * 2. A move charges first, from the top down, and uncharges afterwards, from the bottom up. Each
 *    path is a charge or an uncharge of its own, so the invariants of charge.c hold on it.
 * 3. A move that fails takes back what it has charged, and has uncharged nothing. A move home
 *    cannot fail (aegis_i_move_home).
 * 4. The common ancestor counts what its children claim (gate.c). A move out of a guarantee leaves
 *    that unused, and its bytes are claimed a second time by the other side. The room for that is
 *    taken when the move begins (moving.c). A move into a guarantee makes room, and those that wait
 *    at the common ancestor are served (attempt in charge.c, serve_above).
 * 5. An object changes its budget in one step, between a look and a leave, and only if it has the
 *    budget and the bytes for which the new side was charged (aegis_i_move_object). The charge runs
 *    functions of the user's, which may use the object, even move it. Then the charge is taken back
 *    and begun again. A reference keeps the old budget meanwhile, so no other budget can have its
 *    address.
 *
 * So the counter of a common ancestor has the bytes once throughout (1), and a budget that is above
 * only one of the two has them at least while the bytes belong there (2). While a move is under
 * way, both budgets have the bytes: the children of the common ancestor may together have more in
 * use than it, by the bytes that are on the move, and never less than what is held. Room is taken
 * before any is given up, so a refused move needs no second charge that could be refused (3). */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "move.h"
#include "../source.h"
#include "gated.h"
#include "moving.h"

/* The lowest budget that is `one` or `other` or above it, for both. NULL: there is none. */
static aegis_budget *common_ancestor(aegis_budget *one, aegis_budget *other) {
    while (one != other) {
        if (one == NULL || other == NULL)
            return NULL;
        /* The lower one goes up; of two at the same level, both in turn. */
        if (one->level >= other->level)
            one = one->parent;
        else
            other = other->parent;
    }
    return one;
}

/* Serves those that wait at a common ancestor or above it: a guarantee of `to` may have covered
 * what was moved, and what was set aside for it is free then. */
static void serve_above(aegis_budget *stop) {
    if (stop == NULL || !is_gated(stop) || !aegis_i_gate_enter(stop))
        return;
    aegis_i_gate_serve(stop);
    aegis_i_gate_leave(stop);
}

aegis_status aegis_i_move_begin(aegis_i_move *move, aegis_budget *from, aegis_budget *to,
                                size_t size_bytes, aegis_i_refusal *why) {
    const aegis_i_move begun = {from, to, common_ancestor(from, to), size_bytes, false};
    *move = begun;
    /* Nothing to move fits everywhere, also above a lowered limit. */
    if (size_bytes == 0)
        return AEGIS_OK;
    if (from != NULL) {
        size_t used_bytes = aegis_i_budget_used(from);
        if (used_bytes < size_bytes) {
            memset(why, 0, sizeof *why);
            why->in_use_bytes = used_bytes;
            return why->status = AEGIS_E_INVALID;
        }
    }
    return aegis_i_budget_charge_below(to, move, size_bytes, false, why);
}

/* Ends or cancels a move that is counted. False: the gate cannot be had in this process, so that
 * nothing is counted any more. */
static bool end_counted(aegis_i_move *move, bool cancelled, aegis_status *status) {
    if (!aegis_i_gate_enter(move->stop)) {
        aegis_i_gate_give_up(move->from, NULL);
        aegis_i_gate_give_up(move->to, NULL);
        return move->counted = false;
    }
    *status = aegis_i_gate_end_move(move, cancelled);
    aegis_i_gate_serve(move->from);
    if (cancelled)
        aegis_i_gate_serve(move->to);
    aegis_i_gate_leave(move->stop);
    return true;
}

aegis_status aegis_i_move_end(aegis_i_move *move) {
    aegis_status status;
    if (move->counted && end_counted(move, false, &status))
        return status;
    status = aegis_i_budget_uncharge_below(move->from, move->stop, move->size_bytes);
    if (status == AEGIS_OK)
        serve_above(move->stop);
    return status;
}

void aegis_i_move_cancel(aegis_i_move *move) {
    aegis_status status;
    if (!move->counted || !end_counted(move, true, &status))
        (void)aegis_i_budget_uncharge_below(move->to, move->stop, move->size_bytes);
}

aegis_status aegis_i_budget_move(aegis_budget *from, aegis_budget *to, size_t size_bytes,
                                 aegis_i_refusal *why) {
    aegis_i_move move;
    aegis_status status = aegis_i_move_begin(&move, from, to, size_bytes, why);
    if (status != AEGIS_OK)
        return status;
    status = aegis_i_move_end(&move);
    if (status != AEGIS_OK) {
        /* Another thread has uncharged these bytes since aegis_i_move_begin looked. */
        aegis_i_move_cancel(&move);
        memset(why, 0, sizeof *why);
        why->status = status;
    }
    return status;
}

void aegis_i_move_home(aegis_budget *from, aegis_budget *home, size_t size_bytes) {
    aegis_i_move move = {from, home, common_ancestor(from, home), size_bytes, false};
    aegis_i_budget_charge_back(home, &move, size_bytes);
    (void)aegis_i_move_end(&move);
}

aegis_status aegis_i_explain_move(const aegis_i_refusal *why, size_t size_bytes,
                                  aegis_error *error) {
    if (error != NULL) {
        (void)aegis_i_error_bytes(error, why->status, size_bytes, 0);
        error->in_use_bytes = why->in_use_bytes;
        aegis_i_explain_refusal(why, error);
    }
    return why->status;
}

/* A reference, if there is a budget. */
static aegis_budget *keep(aegis_budget *budget) {
    return budget != NULL ? aegis_budget_retain(budget) : NULL;
}

/* If the object still has the old budget and the same bytes, gives it the new one, or, if it is not
 * `charged`, says that the old budget has less than the object: AEGIS_E_INVALID. Otherwise the
 * object has changed, and the move begins again. */
static aegis_status exchange(const aegis_i_movable *movable, aegis_budget *from, aegis_budget *to,
                             size_t size_bytes, bool charged, bool *moved) {
    aegis_budget **place;
    size_t held_bytes;
    aegis_status status = movable->look(movable->object, &place, &held_bytes);
    if (status != AEGIS_OK)
        return status;
    bool same = *place == from && held_bytes == size_bytes;
    *moved = same && charged;
    if (*moved)
        *place = to;
    movable->leave(movable->object, *moved);
    return same && !charged ? AEGIS_E_INVALID : AEGIS_OK;
}

aegis_status aegis_i_move_object(const aegis_i_movable *movable, aegis_budget *to,
                                 aegis_error *error) {
    aegis_i_refusal why = {AEGIS_OK, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    size_t size_bytes = 0;
    bool moved = false;
    aegis_i_move move;
    do {
        aegis_budget **place;
        why.status = movable->look(movable->object, &place, &size_bytes);
        if (why.status != AEGIS_OK)
            break;
        aegis_budget *from = keep(*place);
        movable->leave(movable->object, false);
        aegis_status status = aegis_i_move_begin(&move, from, to, size_bytes, &why);
        if (status == AEGIS_OK) {
            (void)keep(to); /* the reference of the object */
            why.status = exchange(movable, from, to, size_bytes, true, &moved);
            if (moved)
                (void)aegis_i_move_end(&move);
            else
                aegis_i_move_cancel(&move);
            aegis_budget_destroy(moved ? from : to);
        } else if (status == AEGIS_E_INVALID) {
            /* Perhaps the object has given bytes back since the look. */
            why.status = exchange(movable, from, to, size_bytes, false, &moved);
        }
        aegis_budget_destroy(from);
    } while (!moved && why.status == AEGIS_OK);
    if (!moved && why.status == AEGIS_E_BUSY && error != NULL)
        return aegis_i_error_refuse(error, why.status, movable->busy_what, 0, 0);
    return moved ? AEGIS_OK : aegis_i_explain_move(&why, size_bytes, error);
}

/* Whether the list from `entry` up to `end` has the budget. */
static bool has_former(const aegis_i_former *entry, const aegis_i_former *end,
                       const aegis_budget *budget) {
    while (entry != end && entry->budget != budget)
        entry = entry->next;
    return entry != end;
}

aegis_status aegis_i_move_shared(const aegis_i_movable *movable, aegis_budget *to,
                                 AEGIS_I_ATOMIC(aegis_i_former *) * list, aegis_error *error) {
    aegis_i_former *entry = to != NULL ? (aegis_i_former *)aegis_i_record_new(sizeof *entry) : NULL;
    if (entry == NULL && to != NULL) {
        const aegis_i_refusal why = {AEGIS_E_OUT_OF_MEMORY, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
        return aegis_i_explain_move(&why, sizeof *entry, error);
    }
    if (entry != NULL)
        entry->budget = keep(to);
    aegis_status status = aegis_i_move_object(movable, to, error);
    if (entry == NULL)
        return status;
    /* Entries are only pushed, so each look at the list begins where the last one ended. Acquire
     * pairs with the release below: the fields of the entries are seen. */
    aegis_i_former *seen = NULL, *head = aegis_i_load(list, memory_order_acquire);
    while (status == AEGIS_OK && !has_former(head, seen, to)) {
        entry->next = seen = head;
        if (aegis_i_cas_weak(list, &head, entry, memory_order_release, memory_order_acquire))
            return status;
    }
    aegis_budget_destroy(to);
    aegis_i_record_free(entry);
    return status;
}

void aegis_i_forget_former(AEGIS_I_ATOMIC(aegis_i_former *) * list) {
    aegis_i_former *entry = aegis_i_load(list, memory_order_relaxed);
    while (entry != NULL) {
        aegis_i_former *next = entry->next;
        aegis_budget_destroy(entry->budget);
        aegis_i_record_free(entry);
        entry = next;
    }
}

aegis_status aegis_budget_move(aegis_budget *from, aegis_budget *to, size_t size_bytes,
                               aegis_error *error) {
    aegis_i_refusal why;
    aegis_status status = aegis_i_budget_move(from, to, size_bytes, &why);
    return status == AEGIS_OK ? status : aegis_i_explain_move(&why, size_bytes, error);
}
