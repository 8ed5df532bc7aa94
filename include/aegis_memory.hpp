/* SPDX-License-Identifier: Apache-2.0 */
/** @file aegis_memory.hpp
 *  The library for C++17 and later: owners that finish what they own, memory resources and
 *  allocators for containers, smart pointers, and buffers with a view of their bytes. The file is
 *  longer than 500 lines, because it is the one header that a program adds to those for C.
 *
 *  What is here calls the functions of the C headers and adds nothing to link. A member function
 *  does what the C function does that its comment names. That function's comment says which
 *  threads may call it, what is unchanged on failure, and what it costs.
 *
 *  Rules of this header:
 *  - A call that can fail returns a null pointer, false, or an empty handle, and leaves a record
 *    of the reason. Arenas and heaps with one owner keep the record (last_error). Other calls
 *    write it to their last parameter, an aegis::error, unless that is NULL. error::text() is the
 *    reason as a sentence.
 *  - Containers know no other failure than an exception. So memory resources and allocators
 *    throw aegis::bad_alloc, which is a std::bad_alloc whose what() is that sentence. In a
 *    program without exceptions they print the sentence to stderr and abort. Nothing else here
 *    throws, but a constructor of the user's may.
 *  - An owner is moved and not copied, except handles that the C interface counts: budget, buffer
 *    and buffer_pool. An owner that was moved from, or could not be made, is empty: `if (owner)`
 *    is false. An empty owner can be destroyed and assigned to, and tell its error.
 *  - What has an address inside of an owner stays good only while the owner stays where it is:
 *    an arena_ref, resource, allocator, pointer of a typed_pool, scope, or heap in an arena. Arenas
 *    and heaps for several threads may be moved, because they are handles.
 *  - Run-time type information is not used.
 *
 *  The header is one file, and longer than 500 lines, so that a user copies or includes one.
 */
#ifndef AEGIS_MEMORY_HPP
#define AEGIS_MEMORY_HPP

#include "aegis_memory.h"

#if !defined(__cplusplus) ||                                                                       \
    (__cplusplus < 201703L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 201703L))
#error "aegis_memory.hpp needs C++17; aegis_memory.h can be used from C++98 on"
#endif

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>
#if __has_include(<memory_resource>)
#include <memory_resource>
#endif
#if defined(__cpp_lib_memory_resource) || (defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
/** Whether the standard library has std::pmr, and this header the memory resources. */
#define AEGIS_HAS_PMR 1
#else
#define AEGIS_HAS_PMR 0
#endif
#if __cplusplus >= 202002L && __has_include(<span>)
#include <span>
#endif

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define AEGIS_I_NAMESPACE(major, minor, patch) v##major##_##minor##_##patch
#else
#define AEGIS_I_NAMESPACE(major, minor, patch) v##major##_##minor##_##patch##_no_exceptions
#endif
#define AEGIS_I_NAMESPACE_OF(major, minor, patch) AEGIS_I_NAMESPACE(major, minor, patch)
#define AEGIS_I_VERSIONED                                                                          \
    AEGIS_I_NAMESPACE_OF(AEGIS_VERSION_MAJOR, AEGIS_VERSION_MINOR, AEGIS_VERSION_PATCH)

namespace aegis {
/* A process may have parts that were compiled with the headers of different versions, or with and
 * without exceptions. This keeps their classes apart: otherwise the linker would take one part's
 * inline functions for the other part too, which would then abort where it can catch. */
inline namespace AEGIS_I_VERSIONED {

/* -- errors -- */

/** The sentence of an error record. It needs no memory, and is cut if it is very long. */
class error_text {
  public:
    /** Writes a record as a sentence: see aegis_error_explain.
     *  @param why  its budget is good.
     */
    explicit error_text(const aegis_error &why) noexcept {
        std::size_t length = aegis_error_explain(&why, text_, sizeof text_);
        length_ = length < sizeof text_ ? length : sizeof text_ - 1;
    }
    /** The sentence, ended with a zero byte. */
    const char *c_str() const noexcept {
        return text_;
    }
    /** The sentence. */
    std::string_view view() const noexcept {
        return {text_, length_};
    }
    /** The sentence. */
    operator std::string_view() const noexcept {
        return view();
    }

  private:
    char text_[768];
    std::size_t length_;
};

/** Why a call failed: the record of the C interface, with its fields. */
struct error : aegis_error {
    /** A record of no failure. */
    error() noexcept : aegis_error() {
    }
    /** A copy of a record of the C interface. */
    error(const aegis_error &why) noexcept : aegis_error(why) {
    }
    /** Whether something failed. */
    bool failed() const noexcept {
        return status != AEGIS_OK;
    }
    /** The record as a sentence: see aegis_error_explain. Ask at once, because a budget that the
     *  sentence names must be good. */
    error_text text() const noexcept {
        return error_text(*this);
    }
};

/** What memory resources and allocators throw. */
class bad_alloc : public std::bad_alloc {
  public:
    /** Keeps the sentence of a record. */
    explicit bad_alloc(const aegis_error &why) noexcept : text_(why) {
    }
    /** The sentence. */
    const char *what() const noexcept override {
        return text_.c_str();
    }

  private:
    error_text text_;
};

namespace detail {

/* A record of a failure that this header found before it called the library. */
inline aegis_error no_memory(aegis_status status, std::size_t size_bytes,
                             std::size_t align_bytes) noexcept {
    aegis_error why = aegis_error();
    why.status = status;
    why.requested_bytes = why.asked = size_bytes;
    why.align_bytes = align_bytes;
    return why;
}

inline void tell(aegis_error *reason, const aegis_error &why) noexcept {
    if (reason != nullptr)
        *reason = why;
}

[[noreturn]] inline void refuse(const aegis_error &why) {
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
    throw bad_alloc(why);
#else
    std::fprintf(stderr, "aegis-memory: %s\n", error_text(why).c_str());
    std::abort();
#endif
}

/* The address of an object for calls of the C interface, also of a const one. */
template <class T> void *address(T *object) noexcept {
    return const_cast<typename std::remove_cv<T>::type *>(object);
}

template <class F> void destroy(void *function) noexcept {
    delete static_cast<F *>(function);
}

/* Whether what a container's data() points to can be seen as these bytes. */
template <class Element, class Byte>
inline constexpr bool
    is_like_bytes = sizeof(Element) == 1 && std::is_trivially_copyable<Element>::value &&
                    (std::is_const<Byte>::value || !std::is_const<Element>::value);

/* A container as its user has it: a temporary is only read. */
template <class Container>
using seen = typename std::conditional<std::is_lvalue_reference<Container>::value, Container,
                                       const Container &>::type;

} // namespace detail

/* -- views of bytes -- */

/** A pointer and a length, as std::span<Byte> is, which only C++20 has. A view owns nothing.
 *  There a view converts to a span, because it is a contiguous range, and a span to a view.
 *  @tparam Byte  std::byte or const std::byte.
 */
template <class Byte> class basic_bytes_view {
    using memory_type =
        typename std::conditional<std::is_const<Byte>::value, const void, void>::type;
    using char_type = typename std::conditional<std::is_const<Byte>::value, const char, char>::type;

  public:
    using element_type = Byte;
    using value_type = std::byte;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using pointer = Byte *;
    using reference = Byte &;
    using iterator = Byte *;

    /** No bytes. */
    constexpr basic_bytes_view() noexcept = default;
    /** A view of `size_bytes` bytes. */
    basic_bytes_view(memory_type *data, std::size_t size_bytes) noexcept
        : data_(static_cast<Byte *>(data)), size_(size_bytes) {
    }
    /** A view of a string literal or a string of C, without the zero byte at its end. */
    template <class B = Byte, class = typename std::enable_if<std::is_const<B>::value>::type>
    basic_bytes_view(const char *text) noexcept : basic_bytes_view(text, std::strlen(text)) {
    }
    /** A view of a container whose elements have one byte: a string, a vector, an array, a span,
     *  another view. A temporary one is good until the end of the statement. */
    template <
        class Container, class Seen = detail::seen<Container>,
        class Element = typename std::remove_pointer<decltype(std::declval<Seen>().data())>::type,
        class = decltype(std::size_t(std::declval<Seen>().size())),
        class = typename std::enable_if<
            detail::is_like_bytes<Element, Byte> &&
            !std::is_same<typename std::decay<Container>::type, basic_bytes_view>::value>::type>
    basic_bytes_view(Container &&container) noexcept
        : basic_bytes_view(static_cast<Seen>(container).data(), container.size()) {
    }

    /** The first byte; may be NULL if there are none. */
    constexpr Byte *data() const noexcept {
        return data_;
    }
    /** How many bytes. */
    constexpr std::size_t size() const noexcept {
        return size_;
    }
    /** Whether there are none. */
    constexpr bool empty() const noexcept {
        return size_ == 0;
    }
    constexpr Byte *begin() const noexcept {
        return data_;
    }
    constexpr Byte *end() const noexcept {
        return data_ + size_;
    }
    /** One byte.
     *  @param index  less than size(). This is not checked.
     */
    constexpr Byte &operator[](std::size_t index) const noexcept {
        return data_[index];
    }
    /** A part of the view, cut to what there is.
     *  @param start  the first byte.
     *  @param count  how many bytes at most.
     */
    basic_bytes_view subview(std::size_t start, std::size_t count = SIZE_MAX) const noexcept {
        if (start >= size_)
            return {};
        return {data_ + start, count < size_ - start ? count : size_ - start};
    }
    /** The bytes as characters. */
    char_type *chars() const noexcept {
        return static_cast<char_type *>(static_cast<memory_type *>(data_));
    }
    /** The bytes as text. */
    std::string_view text() const noexcept {
        return {chars(), size_};
    }

  private:
    Byte *data_ = nullptr;
    std::size_t size_ = 0;
};

/** Bytes to read. */
using bytes_view = basic_bytes_view<const std::byte>;
/** Bytes to write. */
using mutable_bytes_view = basic_bytes_view<std::byte>;

/* -- owners -- */

/** What every owner of an object of the C interface can do. It has the object's struct in itself.
 *  @tparam Self  the owner.
 *  @tparam Form  the kind of object: its struct `raw`, whether it `holds` one, and how to `end` it.
 */
template <class Self, class Form> class owner {
  public:
    /** What the calls of the C interface take. */
    using raw_type = typename Form::raw;

    owner(const owner &) = delete;
    /** Takes an object of the C interface over, which the caller does not use any more. */
    static Self from_raw(const raw_type &raw) noexcept {
        return Self(owner(raw));
    }
    /** Gives the object to the caller, who ends it. This owner is empty then. */
    raw_type into_raw() noexcept {
        return std::exchange(raw_, raw_type());
    }
    /** The object for calls of the C interface. */
    raw_type *raw() noexcept {
        return &raw_;
    }
    const raw_type *raw() const noexcept {
        return &raw_;
    }
    /** Whether it is not empty. */
    explicit operator bool() const noexcept {
        return Form::holds(raw_);
    }

  protected:
    /* The constructor of `Self` makes the object. */
    owner() noexcept {
    }
    explicit owner(const raw_type &raw) noexcept : raw_(raw) {
    }
    owner(owner &&other) noexcept : raw_(other.into_raw()) {
    }
    owner &operator=(owner &&other) noexcept {
        if (this != &other) {
            end();
            raw_ = other.into_raw();
        }
        return *this;
    }
    ~owner() {
        end();
    }

    raw_type raw_;

  private:
    void end() noexcept {
        if (Form::holds(raw_))
            Form::end(&raw_);
    }
};

/* -- budgets -- */

/** A handle to a budget (budget.h). A copy is one more reference to the same budget. An empty
 *  handle has no limit. */
class budget {
  public:
    /** No budget. */
    budget() noexcept : raw_(nullptr) {
    }
    /** Makes a budget: see aegis_budget_new. Empty if it could not be made.
     *  @param name         copied.
     *  @param limit_bytes  AEGIS_BUDGET_UNLIMITED for no limit.
     *  @param parent       empty for a root.
     */
    explicit budget(const char *name, std::size_t limit_bytes = AEGIS_BUDGET_UNLIMITED,
                    const budget &parent = budget()) noexcept
        : raw_(aegis_budget_new(name, limit_bytes, parent.raw_)) {
    }
    budget(const budget &other) noexcept
        : raw_(other.raw_ != nullptr ? aegis_budget_retain(other.raw_) : nullptr) {
    }
    budget(budget &&other) noexcept : raw_(other.into_raw()) {
    }
    budget &operator=(budget other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~budget() {
        aegis_budget_destroy(raw_);
    }
    /** Takes a reference of the C interface over. */
    static budget from_raw(aegis_budget *raw) noexcept {
        budget taken;
        taken.raw_ = raw;
        return taken;
    }
    /** Gives the reference to the caller, who destroys it. */
    aegis_budget *into_raw() noexcept {
        return std::exchange(raw_, nullptr);
    }
    /** The budget for calls of the C interface; NULL if empty. */
    aegis_budget *raw() const noexcept {
        return raw_;
    }
    explicit operator bool() const noexcept {
        return raw_ != nullptr;
    }

    /** See aegis_budget_charge. */
    bool charge(std::size_t size_bytes, error *reason = nullptr) const noexcept {
        return aegis_budget_charge(raw_, size_bytes, reason) == AEGIS_OK;
    }
    /** See aegis_budget_force_charge. */
    void force_charge(std::size_t size_bytes) const noexcept {
        aegis_budget_force_charge(raw_, size_bytes);
    }
    /** See aegis_budget_uncharge. */
    bool uncharge(std::size_t size_bytes) const noexcept {
        return aegis_budget_uncharge(raw_, size_bytes) == AEGIS_OK;
    }
    /** Moves a charge from this budget to another one: see aegis_budget_move. */
    bool move_to(const budget &to, std::size_t size_bytes, error *reason = nullptr) const noexcept {
        return aegis_budget_move(raw_, to.raw_, size_bytes, reason) == AEGIS_OK;
    }
    /** See aegis_budget_set_limit. The budget is not empty. */
    void set_limit(std::size_t limit_bytes) const noexcept {
        aegis_budget_set_limit(raw_, limit_bytes);
    }
    /** The statistics: see aegis_budget_get_figures. The budget is not empty. */
    aegis_budget_figures stats() const noexcept {
        aegis_budget_figures figures;
        aegis_budget_get_figures(raw_, &figures);
        return figures;
    }
    /** See aegis_budget_on_pressure. The budget is not empty.
     *  @param function  called as function(used_bytes, limit_bytes), on any thread. It is kept
     *                   as long as the budget lives, and must not throw.
     */
    template <class F> bool on_pressure(std::uint32_t percent, F function) const {
        std::unique_ptr<F> kept(new (std::nothrow) F(std::move(function)));
        if (kept == nullptr)
            return false;
        auto run = [](void *context, std::size_t used_bytes, std::size_t limit_bytes) noexcept {
            (*static_cast<F *>(context))(used_bytes, limit_bytes);
        };
        if (aegis_budget_on_pressure(raw_, percent, run, detail::destroy<F>, kept.get()) !=
            AEGIS_OK)
            return false;
        (void)kept.release();
        return true;
    }
    /** Draws the budget and those beneath it: see aegis_budget_print. The budget is not empty.
     *  @param line  called as line(text) for each line; must not throw.
     */
    template <class F> bool print(F &&line) const {
        /* The address of a reference's holder, because that of a function is no void *. */
        struct holder {
            F &line;
        } held{line};
        auto run = [](void *context, const char *text) noexcept {
            static_cast<holder *>(context)->line(text);
        };
        return aegis_budget_print(raw_, run, &held) == AEGIS_OK;
    }

  private:
    aegis_budget *raw_;
};

/** A charge for memory that is not the library's, which is taken back at the end. */
class reservation {
  public:
    /** Nothing charged. */
    reservation() noexcept = default;
    /** Charges bytes to a budget. Empty if the budget refused. */
    reservation(const budget &charged, std::size_t size_bytes, error *reason = nullptr) noexcept {
        if (charged.charge(size_bytes, reason)) {
            budget_ = charged;
            size_ = size_bytes;
            live_ = true;
        }
    }
    reservation(reservation &&other) noexcept
        : budget_(std::move(other.budget_)), size_(std::exchange(other.size_, 0)),
          live_(std::exchange(other.live_, false)) {
    }
    reservation &operator=(reservation other) noexcept {
        std::swap(budget_, other.budget_);
        std::swap(size_, other.size_);
        std::swap(live_, other.live_);
        return *this;
    }
    ~reservation() {
        (void)budget_.uncharge(size_);
    }
    explicit operator bool() const noexcept {
        return live_;
    }
    /** The bytes that are charged. */
    std::size_t size() const noexcept {
        return size_;
    }
    /** Charges the difference to another size, or takes it back.
     *  @return  whether there was room. False: nothing changed. Also false for an empty one.
     */
    bool resize(std::size_t size_bytes, error *reason = nullptr) noexcept {
        if (!live_ || (size_bytes > size_ && !budget_.charge(size_bytes - size_, reason)))
            return false;
        if (size_bytes < size_)
            (void)budget_.uncharge(size_ - size_bytes);
        size_ = size_bytes;
        return true;
    }

  private:
    budget budget_;
    std::size_t size_ = 0;
    bool live_ = false;
};

/* -- arenas with one owner -- */

template <class T> class arena_delete;

/** A pointer to an object in an arena. At its end the object is destroyed. Its bytes are free
 *  when the arena frees them. */
template <class T> using arena_ptr = std::unique_ptr<T, arena_delete<T>>;

/** The deleter of arena_ptr: it runs the destructor and frees nothing. */
template <class T> class arena_delete {
  public:
    constexpr arena_delete() noexcept = default;
    /** A pointer to a class converts to one to a base with a virtual destructor. */
    template <class U, class = typename std::enable_if<
                           std::is_convertible<U *, T *>::value &&
                           (std::is_same<typename std::remove_cv<T>::type, U>::value ||
                            std::has_virtual_destructor<T>::value)>::type>
    arena_delete(const arena_delete<U> &) noexcept {
    }
    void operator()(T *object) const noexcept {
        object->~T();
    }
};

/** The same for an array, whose length it has. The last element is destroyed first. */
template <class T> class arena_delete<T[]> {
  public:
    constexpr arena_delete() noexcept = default;
    explicit constexpr arena_delete(std::size_t count) noexcept : count_(count) {
    }
    void operator()(T *first) const noexcept {
        for (std::size_t i = count_; i != 0; i--)
            first[i - 1].~T();
    }
    /** How many elements the array has. */
    std::size_t size() const noexcept {
        return count_;
    }

  private:
    std::size_t count_ = 0;
};

template <class T, class Kind> class basic_allocator;
class arena_scope;

namespace detail {

struct one_owner_kind;

/* Memory that goes back to its arena unless the constructor of the object in it has returned.
 */
class arena_memory {
  public:
    arena_memory(aegis_arena *arena, std::size_t size_bytes, std::size_t align_bytes) noexcept
        : arena_(arena), memory_(aegis_arena_alloc_aligned(arena, size_bytes, align_bytes)),
          size_(size_bytes) {
    }
    arena_memory(const arena_memory &) = delete;
    arena_memory &operator=(const arena_memory &) = delete;
    ~arena_memory() {
        aegis_arena_free_last(arena_, memory_, size_);
    }
    void *get() const noexcept {
        return memory_;
    }
    void keep() noexcept {
        memory_ = nullptr;
    }

  private:
    aegis_arena *arena_;
    void *memory_;
    std::size_t size_;
};

/* Elements of an array that are destroyed unless all of them could be constructed. */
template <class T> struct constructed {
    T *first;
    std::size_t count = 0;
    explicit constructed(void *memory) noexcept : first(static_cast<T *>(memory)) {
    }
    constructed(const constructed &) = delete;
    constructed &operator=(const constructed &) = delete;
    ~constructed() {
        arena_delete<T[]>{count}(first);
    }
    T *keep() noexcept {
        count = 0;
        return first;
    }
};

/* The calls of every arena with one owner. `Self` has raw(). */
template <class Self> class arena_calls {
  public:
    /** Allocates uninitialised bytes: see aegis_arena_alloc_aligned.
     *  @param align_bytes  a power of two.
     *  @return             the bytes, or NULL: see last_error.
     */
    void *alloc(std::size_t size_bytes, std::size_t align_bytes = AEGIS_ARENA_ALIGN) noexcept {
        return align_bytes <= AEGIS_ARENA_ALIGN && align_bytes != 0 &&
                       (align_bytes & (align_bytes - 1)) == 0
                   ? aegis_arena_alloc(raw(), size_bytes)
                   : aegis_arena_alloc_aligned(raw(), size_bytes, align_bytes);
    }
    /** Allocates zeroed bytes: see aegis_arena_alloc_zeroed. */
    void *alloc_zeroed(std::size_t size_bytes) noexcept {
        return aegis_arena_alloc_zeroed(raw(), size_bytes);
    }
    /** Resizes an allocation: see aegis_arena_realloc_aligned. */
    void *realloc(void *memory, std::size_t old_bytes, std::size_t new_bytes,
                  std::size_t align_bytes = AEGIS_ARENA_ALIGN) noexcept {
        return aegis_arena_realloc_aligned(raw(), memory, old_bytes, new_bytes, align_bytes);
    }
    /** Frees an allocation if it is the latest one: see aegis_arena_free_last. */
    void free_last(void *memory, std::size_t size_bytes) noexcept {
        aegis_arena_free_last(raw(), memory, size_bytes);
    }
    /** Copies bytes into the arena: see aegis_arena_memdup.
     *  @return  the copy; its data() is NULL on failure.
     */
    mutable_bytes_view copy(bytes_view bytes) noexcept {
        void *memory = aegis_arena_memdup(raw(), bytes.data(), bytes.size());
        return memory != nullptr ? mutable_bytes_view(memory, bytes.size()) : mutable_bytes_view();
    }
    /** Copies text into the arena, with a zero byte at its end.
     *  @return  the copy, or NULL.
     */
    char *copy_text(std::string_view text) noexcept {
        char *memory = text.size() < SIZE_MAX
                           ? static_cast<char *>(aegis_arena_alloc(raw(), text.size() + 1))
                           : nullptr;
        if (memory != nullptr) {
            if (!text.empty())
                std::memcpy(memory, text.data(), text.size());
            memory[text.size()] = '\0';
        }
        return memory;
    }
    /** Makes an object that the pointer destroys.
     *  @return  the object; NULL if the arena had no room. What the constructor throws passes
     *           through, and the memory is given back.
     */
    template <class T, class... Args>
    typename std::enable_if<!std::is_array<T>::value, arena_ptr<T>>::type
    make_unique(Args &&...args) {
        arena_memory memory(raw(), sizeof(T), alignof(T));
        if (memory.get() == nullptr)
            return nullptr;
        arena_ptr<T> object(::new (memory.get()) T(std::forward<Args>(args)...));
        memory.keep();
        return object;
    }
    /** Makes an array of `count` value-initialised elements, which the pointer destroys.
     *  @return  as for an object; NULL also if the size is above SIZE_MAX.
     */
    template <class T>
    typename std::enable_if<std::is_array<T>::value && std::extent<T>::value == 0,
                            arena_ptr<T>>::type
    make_unique(std::size_t count) {
        using element = typename std::remove_extent<T>::type;
        return arena_ptr<T>(make_elements<element>(count), arena_delete<T>(count));
    }
    /** Makes an object that the arena destroys when it frees it: at a reset, at the end, or when
     *  it is rewound. If there is nothing to destroy, nothing is remembered.
     *  @return  the object, or NULL.
     */
    template <class T, class... Args> T *make(Args &&...args) {
        arena_ptr<T> object = make_unique<T>(std::forward<Args>(args)...);
        if constexpr (!std::is_trivially_destructible<T>::value) {
            auto destroy = [](void *made) noexcept { static_cast<T *>(made)->~T(); };
            if (object != nullptr &&
                aegis_arena_defer(raw(), destroy, address(object.get())) != AEGIS_OK)
                return nullptr;
        }
        return object.release();
    }
    /** Makes an array of `count` value-initialised elements that need no destructor.
     *  @return  the first element, or NULL.
     */
    template <class T> T *make_array(std::size_t count) {
        static_assert(std::is_trivially_destructible<T>::value,
                      "the elements would not be destroyed: use make_unique<T[]>");
        return make_elements<T>(count);
    }
    /** Registers a function that runs when the arena frees what it has now: see
     *  aegis_arena_defer. It must not throw.
     *  @return  false: the arena had no room, and nothing is registered.
     */
    template <class F> bool defer(F function) {
        using kept = typename std::decay<F>::type;
        arena_ptr<kept> made = make_unique<kept>(std::move(function));
        auto run = [](void *context) noexcept {
            arena_ptr<kept> ends(static_cast<kept *>(context));
            (*ends)();
        };
        if (made == nullptr || aegis_arena_defer(raw(), run, made.get()) != AEGIS_OK)
            return false;
        (void)made.release();
        return true;
    }
    /** A mark to rewind to: see aegis_arena_get_mark. */
    aegis_arena_mark mark() noexcept {
        return aegis_arena_get_mark(raw());
    }
    /** Frees what was allocated since the mark: see aegis_arena_rewind.
     *  @return  false: the mark is stale.
     */
    bool rewind(const aegis_arena_mark &to) noexcept {
        return aegis_arena_rewind(raw(), &to) == AEGIS_OK;
    }
    /** Begins a scope: `auto scope = arena.scope();`. Of a scope, begins one in it. */
    template <class Scope = arena_scope> Scope scope() noexcept {
        return Scope(raw());
    }
    /** Frees everything and keeps the blocks: see aegis_arena_reset. */
    void reset() noexcept {
        aegis_arena_reset(raw());
    }
    /** Frees everything and releases the blocks: see aegis_arena_clear. */
    void clear() noexcept {
        aegis_arena_clear(raw());
    }
    /** Releases idle blocks: see aegis_arena_trim. */
    void trim(std::size_t keep_bytes) noexcept {
        aegis_arena_trim(raw(), keep_bytes);
    }
    /** See aegis_arena_move_budget. */
    bool move_budget(const budget &to, error *reason = nullptr) noexcept {
        return aegis_arena_move_budget(raw(), to.raw(), reason) == AEGIS_OK;
    }
    /** The statistics: see aegis_arena_get_stats. */
    aegis_arena_stats stats() const noexcept {
        aegis_arena_stats stats;
        aegis_arena_get_stats(raw(), &stats);
        return stats;
    }
    /** Why the latest failing call failed, also of an arena that could not be made: see
     *  aegis_arena_last_error. */
    error last_error() const noexcept {
        error why;
        aegis_arena_last_error(raw(), &why);
        return why;
    }
    /** An allocator for the containers of the standard library. */
    template <class T = std::byte> basic_allocator<T, one_owner_kind> allocator() noexcept {
        return basic_allocator<T, one_owner_kind>(raw());
    }

  protected:
    arena_calls() = default;
    ~arena_calls() = default;
    arena_calls(const arena_calls &) = default;
    arena_calls &operator=(const arena_calls &) = default;

  private:
    aegis_arena *raw() noexcept {
        return static_cast<Self *>(this)->raw();
    }
    const aegis_arena *raw() const noexcept {
        return static_cast<const Self *>(this)->raw();
    }
    template <class T> T *make_elements(std::size_t count) {
        /* A size above PTRDIFF_MAX is refused by the arena, with a record. */
        std::size_t size_bytes = count <= SIZE_MAX / sizeof(T) ? count * sizeof(T) : SIZE_MAX;
        arena_memory memory(raw(), size_bytes, alignof(T));
        if (memory.get() == nullptr)
            return nullptr;
        constructed<T> elements(memory.get());
        for (; elements.count < count; elements.count++)
            ::new (static_cast<void *>(elements.first + elements.count)) T();
        memory.keep();
        return elements.keep();
    }
};

} // namespace detail

/** An arena that others own: a parameter for any arena with one owner, or for one of the C
 *  interface. Good as long as the arena stays where it is. */
class arena_ref : public detail::arena_calls<arena_ref> {
  public:
    /** Refers to an arena of the C interface. */
    arena_ref(aegis_arena *raw) noexcept : raw_(raw) {
    }
    /** The arena for calls of the C interface. */
    aegis_arena *raw() const noexcept {
        return raw_;
    }

  private:
    aegis_arena *raw_;
};

namespace detail {

struct arena_form {
    using raw = aegis_arena;
    static bool holds(const raw &object) noexcept {
        return object.ptr != nullptr;
    }
    static void end(raw *object) noexcept {
        aegis_arena_fini(object);
    }
};

} // namespace detail

/** An arena with one owner (arena.h): everything in it is freed with it. */
class arena : public owner<arena, detail::arena_form>, public detail::arena_calls<arena> {
  public:
    using owner::raw;

    /** An arena with all defaults, which acquires nothing yet. */
    arena() noexcept : arena(aegis_arena_options()) {
    }
    /** An arena with a first block, under a budget if that is not empty. */
    explicit arena(std::size_t capacity_bytes, const budget &charged = budget()) noexcept
        : arena(under(capacity_bytes, charged)) {
    }
    /** An arena of the options of the C interface: see aegis_arena_init. Empty on failure;
     *  last_error says why. */
    explicit arena(const aegis_arena_options &options) noexcept {
        (void)aegis_arena_init(&raw_, &options);
    }
    operator arena_ref() &noexcept {
        return &raw_;
    }

  private:
    friend owner;
    explicit arena(owner &&taken) noexcept : owner(std::move(taken)) {
    }
    static aegis_arena_options under(std::size_t capacity_bytes, const budget &charged) noexcept {
        aegis_arena_options options = aegis_arena_options();
        options.capacity_bytes = capacity_bytes;
        options.budget = charged.raw();
        return options;
    }
};

/** An arena of at most `Bytes` bytes, which are a part of the object: it acquires nothing. It
 *  stays where it is. An allocation that does not fit fails with AEGIS_E_EXHAUSTED. */
template <std::size_t Bytes> class fixed_arena : public detail::arena_calls<fixed_arena<Bytes>> {
  public:
    fixed_arena() noexcept {
        aegis_arena_options options = aegis_arena_options();
        options.memory = memory_;
        options.memory_bytes = sizeof memory_;
        (void)aegis_arena_init(&raw_, &options);
    }
    fixed_arena(const fixed_arena &) = delete;
    fixed_arena &operator=(const fixed_arena &) = delete;
    ~fixed_arena() {
        aegis_arena_fini(&raw_);
    }
    /** The arena for calls of the C interface. */
    aegis_arena *raw() noexcept {
        return &raw_;
    }
    const aegis_arena *raw() const noexcept {
        return &raw_;
    }
    operator arena_ref() &noexcept {
        return &raw_;
    }

  private:
    aegis_arena raw_;
    alignas(16) unsigned char memory_[Bytes];
};

/** A scope of an arena: what is allocated from it is freed at its end, and what was there before
 *  stays. Scopes nest, and end in the opposite order: see aegis_arena_scope_begin. It stays
 *  where it is, and so does the arena while the scope is open. */
class arena_scope : public detail::arena_calls<arena_scope> {
  public:
    /** Begins a scope on an arena. To begin one on another scope, call its scope(). */
    explicit arena_scope(arena_ref outer) noexcept : outer_(outer.raw()) {
        aegis_arena_scope_begin(outer_, &scope_);
    }
    arena_scope(const arena_scope &) = delete;
    arena_scope &operator=(const arena_scope &) = delete;
    ~arena_scope() {
        aegis_arena_scope_end(outer_, &scope_);
    }
    /** The arena of the scope for calls of the C interface. */
    aegis_arena *raw() noexcept {
        return &scope_.arena;
    }
    const aegis_arena *raw() const noexcept {
        return &scope_.arena;
    }
    operator arena_ref() &noexcept {
        return &scope_.arena;
    }

  private:
    aegis_arena *outer_;
    aegis_arena_scope scope_;
};

/* -- arenas of several threads -- */

#ifdef AEGIS_MEMORY_LOCKED_ARENA_H

namespace detail {

template <class Kind> struct shared_kind;

/* The calls of a lock-free arena. */
struct lock_free_kind {
    using raw = aegis_lock_free_arena;
    using options = aegis_lock_free_arena_options;
    static bool init(raw *arena, const options *how, aegis_error *why) noexcept {
        return aegis_lock_free_arena_init(arena, how, why) == AEGIS_OK;
    }
    static bool holds(const raw &arena) noexcept {
        return arena.shared != nullptr;
    }
    static void end(raw *arena) noexcept {
        aegis_lock_free_arena_fini(arena);
    }
    static void *try_alloc(const raw &arena, std::size_t size_bytes, std::size_t align_bytes,
                           bool zeroed, aegis_error *why) noexcept {
        return zeroed ? aegis_lock_free_arena_alloc_aligned_zeroed(&arena, size_bytes, align_bytes,
                                                                   why)
                      : aegis_lock_free_arena_alloc_aligned(&arena, size_bytes, align_bytes, why);
    }
    static void free(const raw &arena, void *memory, std::size_t size_bytes) noexcept {
        aegis_lock_free_arena_free_last(&arena, memory, size_bytes);
    }
    static aegis_status defer(const raw &arena, aegis_arena_defer_fn function, void *context,
                              aegis_error *why) noexcept {
        return aegis_lock_free_arena_defer(&arena, function, context, why);
    }
    static void reset(raw *arena) noexcept {
        aegis_lock_free_arena_reset(arena);
    }
    static void clear(raw *arena) noexcept {
        aegis_lock_free_arena_clear(arena);
    }
    static void trim(raw *arena, std::size_t keep_bytes) noexcept {
        aegis_lock_free_arena_trim(arena, keep_bytes);
    }
    static void get_stats(const raw &arena, aegis_arena_stats *stats) noexcept {
        aegis_lock_free_arena_get_stats(&arena, stats);
    }
};

/* The same for a locked arena. */
struct locked_kind {
    using raw = aegis_locked_arena;
    using options = aegis_arena_options;
    static bool init(raw *arena, const options *how, aegis_error *why) noexcept {
        return aegis_locked_arena_init(arena, how, why) == AEGIS_OK;
    }
    static bool holds(const raw &arena) noexcept {
        return arena.shared != nullptr;
    }
    static void end(raw *arena) noexcept {
        aegis_locked_arena_fini(arena);
    }
    static void *try_alloc(const raw &arena, std::size_t size_bytes, std::size_t align_bytes,
                           bool zeroed, aegis_error *why) noexcept {
        return zeroed
                   ? aegis_locked_arena_alloc_aligned_zeroed(&arena, size_bytes, align_bytes, why)
                   : aegis_locked_arena_alloc_aligned(&arena, size_bytes, align_bytes, why);
    }
    static void free(const raw &arena, void *memory, std::size_t size_bytes) noexcept {
        aegis_locked_arena_free_last(&arena, memory, size_bytes);
    }
    static aegis_status defer(const raw &arena, aegis_arena_defer_fn function, void *context,
                              aegis_error *why) noexcept {
        return aegis_locked_arena_defer(&arena, function, context, why);
    }
    static void reset(raw *arena) noexcept {
        aegis_locked_arena_reset(arena);
    }
    static void clear(raw *arena) noexcept {
        aegis_locked_arena_clear(arena);
    }
    static void trim(raw *arena, std::size_t keep_bytes) noexcept {
        aegis_locked_arena_trim(arena, keep_bytes);
    }
    static void get_stats(const raw &arena, aegis_arena_stats *stats) noexcept {
        aegis_locked_arena_get_stats(&arena, stats);
    }
};

} // namespace detail

/** An arena for any number of threads: see lock_free_arena.h and locked_arena.h. Const members
 *  may be called by several threads at once, the others by one that has the arena alone. */
template <class Kind> class shared_arena : public owner<shared_arena<Kind>, Kind> {
    using base = owner<shared_arena<Kind>, Kind>;
    using base::raw_;

  public:
    /** An arena with all defaults. Empty on failure. */
    explicit shared_arena(error *reason = nullptr) noexcept
        : shared_arena(typename Kind::options(), reason) {
    }
    /** An arena of the options of the C interface. Empty on failure. */
    explicit shared_arena(const typename Kind::options &options, error *reason = nullptr) noexcept {
        (void)Kind::init(&raw_, &options, reason);
    }
    operator typename Kind::raw() const &noexcept {
        return raw_;
    }
    operator typename Kind::raw() const && = delete;

    /** Allocates uninitialised bytes. NULL on failure. */
    void *alloc(std::size_t size_bytes, std::size_t align_bytes = AEGIS_ARENA_ALIGN,
                error *reason = nullptr) const noexcept {
        return Kind::try_alloc(raw_, size_bytes, align_bytes, false, reason);
    }
    /** Allocates zeroed bytes. NULL on failure. */
    void *alloc_zeroed(std::size_t size_bytes, std::size_t align_bytes = AEGIS_ARENA_ALIGN,
                       error *reason = nullptr) const noexcept {
        return Kind::try_alloc(raw_, size_bytes, align_bytes, true, reason);
    }
    /** Frees an allocation if it is the latest one. */
    void free_last(void *memory, std::size_t size_bytes) const noexcept {
        Kind::free(raw_, memory, size_bytes);
    }
    /** Makes an object that the pointer destroys. NULL if there was no room. If the constructor
     *  throws, the memory is free at the next reset. */
    template <class T, class... Args> arena_ptr<T> make_unique(Args &&...args) const {
        void *memory = alloc(sizeof(T), alignof(T));
        return arena_ptr<T>(memory != nullptr ? ::new (memory) T(std::forward<Args>(args)...)
                                              : nullptr);
    }
    /** Makes an object that the arena destroys when it frees it. NULL if there was no room. */
    template <class T, class... Args> T *make(Args &&...args) const {
        arena_ptr<T> object = make_unique<T>(std::forward<Args>(args)...);
        if constexpr (!std::is_trivially_destructible<T>::value) {
            auto destroy = [](void *made) noexcept { static_cast<T *>(made)->~T(); };
            if (object != nullptr &&
                Kind::defer(raw_, destroy, detail::address(object.get()), nullptr) != AEGIS_OK)
                return nullptr;
        }
        return object.release();
    }
    /** Frees everything and keeps the blocks. */
    void reset() noexcept {
        Kind::reset(&raw_);
    }
    /** Frees everything and releases the blocks. */
    void clear() noexcept {
        Kind::clear(&raw_);
    }
    /** Releases idle blocks until at most `keep_bytes` are reserved. */
    void trim(std::size_t keep_bytes) noexcept {
        Kind::trim(&raw_, keep_bytes);
    }
    /** The statistics. */
    aegis_arena_stats stats() const noexcept {
        aegis_arena_stats stats;
        Kind::get_stats(raw_, &stats);
        return stats;
    }
    /** An allocator for the containers of the standard library. */
    template <class T = std::byte>
    basic_allocator<T, detail::shared_kind<Kind>> allocator() const noexcept {
        return basic_allocator<T, detail::shared_kind<Kind>>(raw_);
    }

  private:
    friend base;
    explicit shared_arena(base &&taken) noexcept : base(std::move(taken)) {
    }
};

/** An arena from which threads allocate without a lock (lock_free_arena.h). */
using lock_free_arena = shared_arena<detail::lock_free_kind>;
/** An arena behind a mutex (locked_arena.h). */
using locked_arena = shared_arena<detail::locked_kind>;

/** A thread's own arena on top of a lock-free one (arena_local.h). It is finished before the
 *  lock-free arena is. */
class local_arena : public detail::arena_calls<local_arena> {
  public:
    /** See aegis_arena_local_init. */
    explicit local_arena(const lock_free_arena &shared, std::uint32_t flags = 0) noexcept {
        live_ = aegis_arena_local_init(&local_, shared.raw(), flags) == AEGIS_OK;
    }
    local_arena(local_arena &&other) noexcept
        : local_(std::exchange(other.local_, aegis_arena_local())),
          live_(std::exchange(other.live_, false)) {
    }
    local_arena &operator=(local_arena &&other) noexcept {
        if (this != &other) {
            aegis_arena_local_fini(&local_);
            local_ = std::exchange(other.local_, aegis_arena_local());
            live_ = std::exchange(other.live_, false);
        }
        return *this;
    }
    ~local_arena() {
        aegis_arena_local_fini(&local_);
    }
    /** The arena for calls of the C interface. */
    aegis_arena *raw() noexcept {
        return &local_.arena;
    }
    const aegis_arena *raw() const noexcept {
        return &local_.arena;
    }
    operator arena_ref() &noexcept {
        return &local_.arena;
    }
    explicit operator bool() const noexcept {
        return live_;
    }

  private:
    aegis_arena_local local_;
    bool live_;
};

#endif

/* -- heaps in arenas -- */

namespace detail {
struct heap_kind;
struct locked_heap_kind;
} // namespace detail

/** A heap that others own. Good as long as the heap stays where it is. */
class heap_ref {
  public:
    /** Refers to a heap of the C interface. */
    heap_ref(aegis_arena_heap *raw) noexcept : raw_(raw) {
    }
    /** The heap for calls of the C interface. */
    aegis_arena_heap *raw() const noexcept {
        return raw_;
    }

  private:
    aegis_arena_heap *raw_;
};

namespace detail {

struct arena_heap_form {
    using raw = aegis_arena_heap;
    static bool holds(const raw &object) noexcept {
        return object.max_block_bytes != 0;
    }
    static void end(raw *object) noexcept {
        aegis_arena_heap_fini(object);
    }
};

} // namespace detail

/** A heap in an arena (arena_heap.h): pieces of any size are freed and used again, and all of it
 *  ends with it. */
class arena_heap : public owner<arena_heap, detail::arena_heap_form> {
  public:
    /** A heap with all defaults, which acquires nothing yet. */
    arena_heap() noexcept : arena_heap(aegis_arena_options()) {
    }
    /** A heap of the options of the C interface: see aegis_arena_heap_init. Empty on failure;
     *  last_error says why. */
    explicit arena_heap(const aegis_arena_options &options) noexcept {
        (void)aegis_arena_heap_init(&raw_, &options);
    }
    /** A heap whose blocks are allocations of an arena: see aegis_arena_heap_init_in. */
    explicit arena_heap(arena_ref inside) noexcept {
        aegis_arena_heap_init_in(&raw_, inside.raw());
    }
    operator heap_ref() &noexcept {
        return &raw_;
    }

    /** Allocates uninitialised bytes. NULL on failure. */
    void *alloc(std::size_t size_bytes, std::size_t align_bytes = AEGIS_ARENA_HEAP_ALIGN) noexcept {
        return aegis_arena_heap_alloc_aligned(&raw_, size_bytes, align_bytes, false);
    }
    /** Allocates zeroed bytes. NULL on failure. */
    void *alloc_zeroed(std::size_t size_bytes,
                       std::size_t align_bytes = AEGIS_ARENA_HEAP_ALIGN) noexcept {
        return aegis_arena_heap_alloc_aligned(&raw_, size_bytes, align_bytes, true);
    }
    /** Resizes an allocation: see aegis_arena_heap_realloc. */
    void *realloc(void *memory, std::size_t new_bytes) noexcept {
        return aegis_arena_heap_realloc(&raw_, memory, new_bytes);
    }
    /** Frees an allocation; NULL is accepted. */
    void free(void *memory) noexcept {
        aegis_arena_heap_free(&raw_, memory);
    }
    /** Frees everything and keeps the blocks. */
    void reset() noexcept {
        aegis_arena_heap_reset(&raw_);
    }
    /** Frees everything and releases the blocks. */
    void clear() noexcept {
        aegis_arena_heap_clear(&raw_);
    }
    /** Releases free blocks until at most `keep_bytes` are reserved. */
    void trim(std::size_t keep_bytes) noexcept {
        aegis_arena_heap_trim(&raw_, keep_bytes);
    }
    /** See aegis_arena_heap_move_budget. */
    bool move_budget(const budget &to, error *reason = nullptr) noexcept {
        return aegis_arena_heap_move_budget(&raw_, to.raw(), reason) == AEGIS_OK;
    }
    /** The statistics. */
    aegis_arena_heap_stats stats() const noexcept {
        aegis_arena_heap_stats stats;
        aegis_arena_heap_get_stats(&raw_, &stats);
        return stats;
    }
    /** Why the latest failing call failed, also of a heap that could not be made. */
    error last_error() const noexcept {
        error why;
        aegis_arena_heap_last_error(&raw_, &why);
        return why;
    }
    /** An allocator for the containers of the standard library. */
    template <class T = std::byte> basic_allocator<T, detail::heap_kind> allocator() noexcept {
        return basic_allocator<T, detail::heap_kind>(&raw_);
    }

  private:
    friend owner;
    explicit arena_heap(owner &&taken) noexcept : owner(std::move(taken)) {
    }
};

#ifdef AEGIS_MEMORY_LOCKED_ARENA_HEAP_H

namespace detail {

struct locked_arena_heap_form {
    using raw = aegis_locked_arena_heap;
    static bool holds(const raw &object) noexcept {
        return object.shared != nullptr;
    }
    static void end(raw *object) noexcept {
        aegis_locked_arena_heap_fini(object);
    }
};

} // namespace detail

/** The same for any number of threads (locked_arena_heap.h). Const members may be called by several
 *  threads at once, the others by one that has the heap alone. */
class locked_arena_heap : public owner<locked_arena_heap, detail::locked_arena_heap_form> {
  public:
    /** A heap with all defaults. Empty on failure. */
    explicit locked_arena_heap(error *reason = nullptr) noexcept
        : locked_arena_heap(aegis_arena_options(), reason) {
    }
    /** A heap of the options of the C interface. Empty on failure. */
    explicit locked_arena_heap(const aegis_arena_options &options,
                               error *reason = nullptr) noexcept {
        (void)aegis_locked_arena_heap_init(&raw_, &options, reason);
    }
    operator aegis_locked_arena_heap() const &noexcept {
        return raw_;
    }
    operator aegis_locked_arena_heap() const && = delete;

    /** Allocates uninitialised bytes. NULL on failure. */
    void *alloc(std::size_t size_bytes, std::size_t align_bytes = AEGIS_ARENA_HEAP_ALIGN,
                error *reason = nullptr) const noexcept {
        return aegis_locked_arena_heap_alloc_aligned(&raw_, size_bytes, align_bytes, false, reason);
    }
    /** Allocates zeroed bytes. NULL on failure. */
    void *alloc_zeroed(std::size_t size_bytes, std::size_t align_bytes = AEGIS_ARENA_HEAP_ALIGN,
                       error *reason = nullptr) const noexcept {
        return aegis_locked_arena_heap_alloc_aligned(&raw_, size_bytes, align_bytes, true, reason);
    }
    /** Resizes an allocation: see aegis_locked_arena_heap_realloc. */
    void *realloc(void *memory, std::size_t new_bytes, error *reason = nullptr) const noexcept {
        return aegis_locked_arena_heap_realloc(&raw_, memory, new_bytes, reason);
    }
    /** Frees an allocation; NULL is accepted. */
    void free(void *memory) const noexcept {
        aegis_locked_arena_heap_free(&raw_, memory);
    }
    /** Frees everything and keeps the blocks. */
    void reset() noexcept {
        aegis_locked_arena_heap_reset(&raw_);
    }
    /** An allocator for the containers of the standard library. */
    template <class T = std::byte>
    basic_allocator<T, detail::locked_heap_kind> allocator() const noexcept {
        return basic_allocator<T, detail::locked_heap_kind>(raw_);
    }

  private:
    friend owner;
    explicit locked_arena_heap(owner &&taken) noexcept : owner(std::move(taken)) {
    }
};

#endif

/* -- allocators and memory resources over arenas and heaps -- */

namespace detail {

/* What a resource or an allocator needs of a kind of memory. A `handle` is what it keeps: the
 * address of an object with one owner, or a copy of a shared object's handle. It is made of a
 * `from`, to which the owners convert. */
struct one_owner_kind {
    using handle = aegis_arena *;
    using from = arena_ref;
    static handle of(from arena) noexcept {
        return arena.raw();
    }
    static void *alloc(handle arena, std::size_t size_bytes, std::size_t align_bytes) {
        void *memory = align_bytes <= AEGIS_ARENA_ALIGN
                           ? aegis_arena_alloc(arena, size_bytes)
                           : aegis_arena_alloc_aligned(arena, size_bytes, align_bytes);
        if (AEGIS_UNLIKELY(memory == nullptr))
            fail(arena);
        return memory;
    }
    [[noreturn]] static void fail(handle arena) {
        aegis_error why;
        aegis_arena_last_error(arena, &why);
        refuse(why);
    }
    static void free(handle arena, void *memory, std::size_t size_bytes, std::size_t) noexcept {
        aegis_arena_free_last(arena, memory, size_bytes);
    }
    static bool same(handle one, handle other) noexcept {
        return one == other;
    }
};

struct heap_kind {
    using handle = aegis_arena_heap *;
    using from = heap_ref;
    static handle of(from heap) noexcept {
        return heap.raw();
    }
    static void *alloc(handle heap, std::size_t size_bytes, std::size_t align_bytes) {
        void *memory = align_bytes <= AEGIS_ARENA_HEAP_ALIGN
                           ? aegis_arena_heap_alloc(heap, size_bytes)
                           : aegis_arena_heap_alloc_aligned(heap, size_bytes, align_bytes, false);
        if (AEGIS_UNLIKELY(memory == nullptr)) {
            aegis_error why;
            aegis_arena_heap_last_error(heap, &why);
            refuse(why);
        }
        return memory;
    }
    static void free(handle heap, void *memory, std::size_t size_bytes, std::size_t) noexcept {
        aegis_arena_heap_free_sized(heap, memory, size_bytes);
    }
    static bool same(handle one, handle other) noexcept {
        return one == other;
    }
};

#ifdef AEGIS_MEMORY_LOCKED_ARENA_HEAP_H
struct locked_heap_kind {
    using handle = aegis_locked_arena_heap;
    using from = handle;
    static handle of(from heap) noexcept {
        return heap;
    }
    static void *alloc(const handle &heap, std::size_t size_bytes, std::size_t align_bytes) {
        aegis_error why;
        void *memory =
            aegis_locked_arena_heap_alloc_aligned(&heap, size_bytes, align_bytes, false, &why);
        if (AEGIS_UNLIKELY(memory == nullptr))
            refuse(why);
        return memory;
    }
    static void free(const handle &heap, void *memory, std::size_t size_bytes,
                     std::size_t) noexcept {
        aegis_locked_arena_heap_free_sized(&heap, memory, size_bytes);
    }
    static bool same(const handle &one, const handle &other) noexcept {
        return one.shared == other.shared;
    }
};
#endif

template <class Kind> struct shared_kind {
    using handle = typename Kind::raw;
    using from = handle;
    static handle of(const handle &arena) noexcept {
        return arena;
    }
    static void *alloc(const handle &arena, std::size_t size_bytes, std::size_t align_bytes) {
        aegis_error why;
        void *memory = Kind::try_alloc(arena, size_bytes, align_bytes, false, &why);
        if (AEGIS_UNLIKELY(memory == nullptr))
            refuse(why);
        return memory;
    }
    static void free(const handle &arena, void *memory, std::size_t size_bytes,
                     std::size_t) noexcept {
        Kind::free(arena, memory, size_bytes);
    }
    static bool same(const handle &one, const handle &other) noexcept {
        return one.shared == other.shared;
    }
};

} // namespace detail

/** An allocator over an arena or a heap for the containers of the standard library. It makes no
 *  virtual calls, so it is faster than a memory resource, and the container is of another type.
 *
 *  Memory that a container gives up is free at once in a heap. In an arena it is free at once if it
 *  was allocated last, else when the arena frees it. A container stays in its arena when another
 *  one is assigned to it: elements from another arena are copied or moved one by one. A swap
 *  exchanges the arenas too. A copy of a container lives in the same arena.
 */
template <class T, class Kind> class basic_allocator {
  public:
    using value_type = T;
    using propagate_on_container_copy_assignment = std::false_type;
    using propagate_on_container_move_assignment = std::false_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    /** An allocator over an arena of this kind, which must outlive it. If the arena has one
     *  owner, it stays where it is. */
    template <class Arena, class = typename std::enable_if<
                               std::is_convertible<Arena, typename Kind::from>::value>::type>
    basic_allocator(Arena &&arena) noexcept : handle_(Kind::of(std::forward<Arena>(arena))) {
    }
    /** An allocator of other elements over the same arena. */
    template <class U>
    basic_allocator(const basic_allocator<U, Kind> &other) noexcept : handle_(other.handle()) {
    }
    /** Allocates room for `count` elements. Throws aegis::bad_alloc if there is none. */
    [[nodiscard]] T *allocate(std::size_t count) {
        std::size_t size_bytes = count <= SIZE_MAX / sizeof(T) ? count * sizeof(T) : SIZE_MAX;
        return static_cast<T *>(Kind::alloc(handle_, size_bytes, alignof(T)));
    }
    /** Frees what allocate(count) returned. */
    void deallocate(T *memory, std::size_t count) noexcept {
        Kind::free(handle_, memory, count * sizeof(T), alignof(T));
    }
    /** What names the arena in calls of the C interface. */
    const typename Kind::handle &handle() const noexcept {
        return handle_;
    }

  private:
    typename Kind::handle handle_;
};

/** Whether two allocators are over the same arena, so that each frees what the other allocates.
 */
template <class T, class U, class Kind>
bool operator==(const basic_allocator<T, Kind> &one,
                const basic_allocator<U, Kind> &other) noexcept {
    return Kind::same(one.handle(), other.handle());
}
template <class T, class U, class Kind>
bool operator!=(const basic_allocator<T, Kind> &one,
                const basic_allocator<U, Kind> &other) noexcept {
    return !(one == other);
}

/** An allocator over an arena with one owner. */
template <class T> using allocator = basic_allocator<T, detail::one_owner_kind>;
/** An allocator over a heap in an arena. */
template <class T> using heap_allocator = basic_allocator<T, detail::heap_kind>;
#ifdef AEGIS_MEMORY_LOCKED_ARENA_HEAP_H
/** An allocator over a locked heap, for any thread. */
template <class T> using locked_heap_allocator = basic_allocator<T, detail::locked_heap_kind>;
#endif
#ifdef AEGIS_MEMORY_LOCKED_ARENA_H
/** An allocator over a lock-free arena, for any thread. */
template <class T>
using lock_free_allocator = basic_allocator<T, detail::shared_kind<detail::lock_free_kind>>;
/** An allocator over a locked arena, for any thread. */
template <class T>
using locked_allocator = basic_allocator<T, detail::shared_kind<detail::locked_kind>>;
#endif

#if AEGIS_HAS_PMR

namespace detail {

/* `other` as a resource of the class of `one`, or NULL. The objects of a class begin with the
 * pointer to its table of virtual functions. If two libraries have a table each, the answer is
 * NULL, which costs a copy. A dynamic_cast needs type information, which a part of the program may
 * lack. */
template <class Resource>
const Resource *as_same(const Resource &one, const std::pmr::memory_resource &other) noexcept {
    const void *table_of_one, *table_of_other;
    static_assert(sizeof(std::pmr::memory_resource) >= sizeof table_of_one, "it has such a table");
    std::memcpy(&table_of_one, static_cast<const void *>(&one), sizeof table_of_one);
    std::memcpy(&table_of_other, static_cast<const void *>(&other), sizeof table_of_other);
    /* Volatile, because a compiler that does not know the tables warns of the case that the
     * comparison excludes. */
    const std::pmr::memory_resource *volatile same = &other;
    return table_of_one == table_of_other ? static_cast<const Resource *>(same) : nullptr;
}

} // namespace detail

/** A memory resource over an arena or a heap, which must outlive it. If that has one owner, it
 *  stays where it is. What is deallocated is free at once in a heap. In an arena it is free at once
 *  if it was allocated last, else when the arena frees it. Resources over the same one are equal.
 */
template <class Kind> class basic_arena_resource final : public std::pmr::memory_resource {
  public:
    /** A resource over an arena of this kind. */
    template <class Arena, class = typename std::enable_if<
                               std::is_convertible<Arena, typename Kind::from>::value>::type>
    basic_arena_resource(Arena &&arena) noexcept : handle_(Kind::of(std::forward<Arena>(arena))) {
    }

  private:
    void *do_allocate(std::size_t size_bytes, std::size_t align_bytes) override {
        return Kind::alloc(handle_, size_bytes, align_bytes);
    }
    void do_deallocate(void *memory, std::size_t size_bytes, std::size_t align_bytes) override {
        Kind::free(handle_, memory, size_bytes, align_bytes);
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
        const auto *same = detail::as_same(*this, other);
        return same != nullptr && Kind::same(handle_, same->handle_);
    }

    typename Kind::handle handle_;
};

/** A memory resource over an arena with one owner. */
using arena_resource = basic_arena_resource<detail::one_owner_kind>;
/** A memory resource over a heap in an arena: what is deallocated is used again. */
using arena_heap_resource = basic_arena_resource<detail::heap_kind>;
#ifdef AEGIS_MEMORY_LOCKED_ARENA_HEAP_H
/** A memory resource over a locked heap, for any thread. */
using locked_arena_heap_resource = basic_arena_resource<detail::locked_heap_kind>;
#endif
#ifdef AEGIS_MEMORY_LOCKED_ARENA_H
/** A memory resource over a lock-free arena, for any thread. */
using lock_free_arena_resource = basic_arena_resource<detail::shared_kind<detail::lock_free_kind>>;
/** A memory resource over a locked arena, for any thread. */
using locked_arena_resource = basic_arena_resource<detail::shared_kind<detail::locked_kind>>;
#endif

/** A memory resource that charges a budget for what it takes from another resource, its
 *  upstream. It charges the bytes that are asked for, and not what the upstream adds to them. A
 *  charge that the budget refuses is an aegis::bad_alloc. It has no state besides these two, so
 *  it may be used by the threads by which the upstream may be. Two are equal if budget and
 *  upstream are. */
class budget_resource final : public std::pmr::memory_resource {
  public:
    /** A resource that charges this budget.
     *  @param charged   the resource holds a reference to it.
     *  @param upstream  not NULL; outlives the resource.
     */
    explicit budget_resource(budget charged, std::pmr::memory_resource *upstream =
                                                 std::pmr::get_default_resource()) noexcept
        : budget_(std::move(charged)), upstream_(upstream) {
    }
    budget_resource(const budget_resource &) = delete;
    budget_resource &operator=(const budget_resource &) = delete;
    /** The resource from which memory is taken. */
    std::pmr::memory_resource *upstream_resource() const noexcept {
        return upstream_;
    }
    /** The budget that is charged. */
    const budget &charged() const noexcept {
        return budget_;
    }

  private:
    void *do_allocate(std::size_t size_bytes, std::size_t align_bytes) override {
        aegis_error why;
        if (aegis_budget_charge(budget_.raw(), size_bytes, &why) != AEGIS_OK)
            detail::refuse(why);
        /* Taken back if the upstream throws. */
        struct charge {
            aegis_budget *raw;
            std::size_t size;
            ~charge() {
                (void)aegis_budget_uncharge(raw, size);
            }
        } taken{budget_.raw(), size_bytes};
        void *memory = upstream_->allocate(size_bytes, align_bytes);
        taken.size = 0;
        return memory;
    }
    void do_deallocate(void *memory, std::size_t size_bytes, std::size_t align_bytes) override {
        upstream_->deallocate(memory, size_bytes, align_bytes);
        (void)aegis_budget_uncharge(budget_.raw(), size_bytes);
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
        const auto *same = detail::as_same(*this, other);
        return same != nullptr && budget_.raw() == same->budget_.raw() &&
               upstream_->is_equal(*same->upstream_);
    }

    budget budget_;
    std::pmr::memory_resource *upstream_;
};

#endif

/* -- pools -- */

namespace detail {

/* The calls of each form of pool. */
struct pool_form {
    using raw = aegis_pool;
    using options = aegis_pool_options;
    static bool init(raw *pool, options how, aegis_error *why) noexcept {
        how.error = how.error != nullptr ? how.error : why;
        return aegis_pool_init(pool, &how) == AEGIS_OK;
    }
    static bool fini(raw *pool) noexcept {
        return aegis_pool_fini(pool) == AEGIS_OK;
    }
    static bool holds(const raw &pool) noexcept {
        return pool.slabs.meta != nullptr;
    }
    static void end(raw *pool) noexcept {
        aegis_pool_abandon(pool);
    }
    static void *alloc(raw *pool, aegis_error *why) noexcept {
        void *block = aegis_pool_alloc(pool);
        if (AEGIS_UNLIKELY(block == nullptr) && why != nullptr)
            aegis_pool_last_error(pool, why);
        return block;
    }
    static bool free(raw *pool, void *block) noexcept {
        return aegis_pool_free(pool, block) == AEGIS_OK;
    }
    static bool owns(const raw *pool, const void *block) noexcept {
        return aegis_pool_owns(pool, block);
    }
    static void trim(raw *pool, std::size_t keep_block_count) noexcept {
        aegis_pool_trim(pool, keep_block_count);
    }
    static void get_stats(const raw *pool, aegis_pool_stats *stats) noexcept {
        aegis_pool_get_stats(pool, stats);
    }
    static aegis_pool_options &blocks(options &how) noexcept {
        return how;
    }
};

#ifdef AEGIS_MEMORY_LOCKED_POOL_H

struct locked_pool_form {
    using raw = aegis_locked_pool;
    using options = aegis_pool_options;
    static bool init(raw *pool, options how, aegis_error *why) noexcept {
        how.error = how.error != nullptr ? how.error : why;
        return aegis_locked_pool_init(pool, &how) == AEGIS_OK;
    }
    static bool fini(raw *pool) noexcept {
        return aegis_locked_pool_fini(pool) == AEGIS_OK;
    }
    static bool holds(const raw &pool) noexcept {
        return pool.shared != nullptr;
    }
    static void end(raw *pool) noexcept {
        aegis_locked_pool_abandon(pool);
    }
    static void *alloc(raw *pool, aegis_error *why) noexcept {
        return aegis_locked_pool_alloc(pool, why);
    }
    static bool free(raw *pool, void *block) noexcept {
        return aegis_locked_pool_free(pool, block) == AEGIS_OK;
    }
    static bool owns(const raw *pool, const void *block) noexcept {
        return aegis_locked_pool_owns(pool, block);
    }
    static void trim(raw *pool, std::size_t keep_block_count) noexcept {
        aegis_locked_pool_trim(pool, keep_block_count);
    }
    static void get_stats(const raw *pool, aegis_pool_stats *stats) noexcept {
        aegis_locked_pool_get_stats(pool, stats);
    }
    static aegis_pool_options &blocks(options &how) noexcept {
        return how;
    }
};

struct lock_free_pool_form {
    using raw = aegis_lock_free_pool;
    using options = aegis_lock_free_pool_options;
    static bool init(raw *pool, options how, aegis_error *why) noexcept {
        how.blocks.error = how.blocks.error != nullptr ? how.blocks.error : why;
        return aegis_lock_free_pool_init(pool, &how) == AEGIS_OK;
    }
    static bool fini(raw *pool) noexcept {
        return aegis_lock_free_pool_fini(pool) == AEGIS_OK;
    }
    static bool holds(const raw &pool) noexcept {
        return pool.shared != nullptr;
    }
    static void end(raw *pool) noexcept {
        aegis_lock_free_pool_abandon(pool);
    }
    static void *alloc(raw *pool, aegis_error *why) noexcept {
        return aegis_lock_free_pool_alloc(pool, why);
    }
    static bool free(raw *pool, void *block) noexcept {
        return aegis_lock_free_pool_free(pool, block) == AEGIS_OK;
    }
    static bool owns(const raw *pool, const void *block) noexcept {
        return aegis_lock_free_pool_owns(pool, block);
    }
    static void trim(raw *pool, std::size_t keep_block_count) noexcept {
        aegis_lock_free_pool_trim(pool, keep_block_count);
    }
    static void get_stats(const raw *pool, aegis_pool_stats *stats) noexcept {
        aegis_lock_free_pool_get_stats(pool, stats);
    }
    static aegis_pool_options &blocks(options &how) noexcept {
        return how.blocks;
    }
};

#endif

} // namespace detail

/** A pool of blocks of one size (pool.h, locked_pool.h, lock_free_pool.h). The object itself may
 *  be moved only while no resource and no pool_ptr refers to it. A pool that ends takes the
 *  blocks with it that are still out.
 *  @tparam Form  whose alloc and free are for one thread, or for any.
 */
template <class Form> class basic_pool : public owner<basic_pool<Form>, Form> {
    using base = owner<basic_pool<Form>, Form>;
    using base::raw_;

  public:
    /** How a pool of this form is made. */
    using options_type = typename Form::options;

    /** A pool of blocks of this size, which never grows. Empty on failure. */
    basic_pool(std::size_t block_bytes, std::size_t block_count, error *reason = nullptr) noexcept
        : basic_pool(of(block_bytes, 0, block_count, 0, budget()), reason) {
    }
    /** A pool of the options of the C interface. Empty on failure. If `options` has no place for
     *  the error, it is written to `reason`. */
    explicit basic_pool(const options_type &options, error *reason = nullptr) noexcept {
        (void)Form::init(&raw_, options, reason);
    }
    /** Ends the pool unless blocks are out.
     *  @return  whether it has ended, so that this owner is empty.
     */
    bool finish() noexcept {
        return Form::fini(&raw_);
    }

    /** Allocates a block. NULL on failure. */
    void *alloc(error *reason = nullptr) noexcept {
        return Form::alloc(&raw_, reason);
    }
    /** Frees a block.
     *  @return  false: it is not a block of this pool that is out, and nothing was done.
     */
    bool free(void *block) noexcept {
        return Form::free(&raw_, block);
    }
    /** Whether a block of this pool starts at an address. */
    bool owns(const void *block) const noexcept {
        return Form::owns(&raw_, block);
    }
    /** Releases slabs without a block that is out, as long as this many blocks are left. */
    void trim(std::size_t keep_block_count) noexcept {
        Form::trim(&raw_, keep_block_count);
    }
    /** The statistics. */
    aegis_pool_stats stats() const noexcept {
        aegis_pool_stats stats;
        Form::get_stats(&raw_, &stats);
        return stats;
    }

  protected:
    static options_type of(std::size_t block_bytes, std::size_t align_bytes,
                           std::size_t block_count, std::size_t max_block_count,
                           const budget &charged) noexcept {
        options_type options = options_type();
        aegis_pool_options &blocks = Form::blocks(options);
        blocks.block_bytes = block_bytes;
        blocks.align_bytes = align_bytes;
        blocks.block_count = block_count;
        blocks.max_block_count = max_block_count;
        blocks.budget = charged.raw();
        return options;
    }

  private:
    friend base;
    explicit basic_pool(base &&taken) noexcept : base(std::move(taken)) {
    }
};

/** A pool with one owner (pool.h). */
using pool = basic_pool<detail::pool_form>;
#ifdef AEGIS_MEMORY_LOCKED_POOL_H
/** A pool behind a mutex (locked_pool.h). */
using locked_pool = basic_pool<detail::locked_pool_form>;
/** A pool from which threads allocate without a lock (lock_free_pool.h). */
using lock_free_pool = basic_pool<detail::lock_free_pool_form>;
#endif

/** The deleter of a pool_ptr: it destroys the object and frees its block. */
template <class T, class Form = detail::pool_form> class pool_delete {
  public:
    constexpr pool_delete() noexcept = default;
    explicit pool_delete(typename Form::raw *home) noexcept : pool_(home) {
    }
    void operator()(T *object) const noexcept {
        object->~T();
        (void)Form::free(pool_, detail::address(object));
    }

  private:
    typename Form::raw *pool_ = nullptr;
};

/** A pointer to an object in a block of a pool, which stays where it is. */
template <class T, class Form = detail::pool_form>
using pool_ptr = std::unique_ptr<T, pool_delete<T, Form>>;

/** A pool whose blocks have the size and the alignment of a type. */
template <class T, class Form = detail::pool_form> class typed_pool : public basic_pool<Form> {
  public:
    /** A pool of this many objects.
     *  @param max_count  it grows up to this; 0: never.
     *  @param charged    the budget for its memory; empty: no limit.
     */
    explicit typed_pool(std::size_t count, std::size_t max_count = 0,
                        const budget &charged = budget(), error *reason = nullptr) noexcept
        : basic_pool<Form>(basic_pool<Form>::of(sizeof(T), alignof(T), count, max_count, charged),
                           reason) {
    }
    /** Makes an object that the pointer destroys and frees.
     *  @return  NULL if there was no block. What the constructor throws passes through, and the
     *           block is free again.
     */
    template <class... Args> pool_ptr<T, Form> make_unique(Args &&...args) {
        struct block {
            typename Form::raw *home;
            void *memory;
            ~block() {
                if (memory != nullptr)
                    (void)Form::free(home, memory);
            }
        } taken{this->raw(), this->alloc()};
        pool_ptr<T, Form> object(nullptr, pool_delete<T, Form>(this->raw()));
        if (taken.memory != nullptr) {
            object.reset(::new (taken.memory) T(std::forward<Args>(args)...));
            taken.memory = nullptr;
        }
        return object;
    }
};

#if AEGIS_HAS_PMR

/** A memory resource over a pool, which outlives it and stays where it is. What fits into a
 *  block, with its alignment, is a block. If none is free, that is an aegis::bad_alloc. All else
 *  is taken from another resource, the upstream. Two are equal if pool and upstream are. */
template <class Form> class basic_pool_resource final : public std::pmr::memory_resource {
  public:
    /** A resource over a pool.
     *  @param blocks    not empty.
     *  @param upstream  not NULL; outlives the resource. std::pmr::null_memory_resource()
     *                   refuses what does not fit into a block.
     */
    explicit basic_pool_resource(
        basic_pool<Form> &blocks,
        std::pmr::memory_resource *upstream = std::pmr::get_default_resource()) noexcept
        : basic_pool_resource(blocks.raw(), upstream) {
    }
    /** A resource over a pool of the C interface. */
    explicit basic_pool_resource(
        typename Form::raw *blocks,
        std::pmr::memory_resource *upstream = std::pmr::get_default_resource()) noexcept
        : pool_(blocks), upstream_(upstream) {
        aegis_pool_stats stats;
        Form::get_stats(pool_, &stats);
        block_bytes_ = stats.block_bytes;
        align_bytes_ = stats.align_bytes;
    }
    basic_pool_resource(const basic_pool_resource &) = delete;
    basic_pool_resource &operator=(const basic_pool_resource &) = delete;
    /** The resource that gives what does not fit into a block. */
    std::pmr::memory_resource *upstream_resource() const noexcept {
        return upstream_;
    }

  private:
    bool fits(std::size_t size_bytes, std::size_t align_bytes) const noexcept {
        return size_bytes <= block_bytes_ && align_bytes <= align_bytes_;
    }
    void *do_allocate(std::size_t size_bytes, std::size_t align_bytes) override {
        if (!fits(size_bytes, align_bytes))
            return upstream_->allocate(size_bytes, align_bytes);
        aegis_error why;
        void *block = Form::alloc(pool_, &why);
        if (AEGIS_UNLIKELY(block == nullptr))
            detail::refuse(why);
        return block;
    }
    void do_deallocate(void *memory, std::size_t size_bytes, std::size_t align_bytes) override {
        if (fits(size_bytes, align_bytes))
            (void)Form::free(pool_, memory);
        else
            upstream_->deallocate(memory, size_bytes, align_bytes);
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override {
        const auto *same = detail::as_same(*this, other);
        return same != nullptr && pool_ == same->pool_ && upstream_->is_equal(*same->upstream_);
    }

    typename Form::raw *pool_;
    std::pmr::memory_resource *upstream_;
    std::size_t block_bytes_;
    std::size_t align_bytes_;
};

/** A memory resource over a pool with one owner. */
using pool_resource = basic_pool_resource<detail::pool_form>;
#ifdef AEGIS_MEMORY_LOCKED_POOL_H
/** A memory resource over a locked pool, for any thread if the upstream is. */
using locked_pool_resource = basic_pool_resource<detail::locked_pool_form>;
/** A memory resource over a lock-free pool, for any thread if the upstream is. */
using lock_free_pool_resource = basic_pool_resource<detail::lock_free_pool_form>;
#endif

#endif

/* -- buffers -- */

#ifdef AEGIS_MEMORY_BUFFER_H

class buffer;

namespace detail {

struct buffer_mut_form {
    using raw = aegis_buffer_mut;
    static bool holds(const raw &object) noexcept {
        return object.data != nullptr;
    }
    static void end(raw *object) noexcept {
        (void)aegis_buffer_mut_release(object);
    }
};

} // namespace detail

/** The only writer of its bytes (buffer.h). */
class buffer_mut : public owner<buffer_mut, detail::buffer_mut_form> {
  public:
    /** No buffer. */
    buffer_mut() noexcept : owner(raw_type()) {
    }
    /** An empty writer on the C heap: see aegis_buffer_mut_alloc. Empty on failure.
     *  @param align_bytes  of the first byte: a power of two; 0: 16.
     */
    explicit buffer_mut(std::size_t capacity_bytes, std::size_t align_bytes = 0,
                        const budget &charged = budget(), error *reason = nullptr) noexcept {
        (void)aegis_buffer_mut_alloc(&raw_, capacity_bytes, align_bytes, charged.raw(), reason);
    }

    /** How many bytes are written. */
    std::size_t size() const noexcept {
        return raw_.length;
    }
    /** How many bytes there is room for. */
    std::size_t capacity() const noexcept {
        return raw_.capacity;
    }
    /** The bytes written. Good until the writer is used to move them. */
    mutable_bytes_view bytes() noexcept {
        return {raw_.data, raw_.length};
    }
    bytes_view bytes() const noexcept {
        return {raw_.data, raw_.length};
    }
    /** The room behind them, for a call that fills it. It may hold no values yet. */
    mutable_bytes_view room() noexcept {
        return *this ? mutable_bytes_view(raw_.data + raw_.length, raw_.capacity - raw_.length)
                     : mutable_bytes_view();
    }
    /** Says that the first `size_bytes` bytes of the room have been written.
     *  @return  false: there is not so much room, and nothing changed.
     */
    bool add_written(std::size_t size_bytes) noexcept {
        if (size_bytes > raw_.capacity - raw_.length)
            return false;
        raw_.length += size_bytes;
        return true;
    }
    /** Appends bytes: see aegis_buffer_mut_append.
     *  @return  false: they do not fit, and nothing changed.
     */
    bool append(bytes_view bytes) noexcept {
        return aegis_buffer_mut_append(&raw_, bytes.data(), bytes.size()) == AEGIS_OK;
    }
    /** Makes room: see aegis_buffer_mut_reserve. */
    bool reserve(std::size_t additional_bytes, const budget &charged = budget(),
                 error *reason = nullptr) noexcept {
        return aegis_buffer_mut_reserve(&raw_, additional_bytes, charged.raw(), reason) == AEGIS_OK;
    }
    /** The bytes before `at`, which this writer then no longer has: see
     *  aegis_buffer_mut_split_to. No buffer on failure. */
    buffer_mut split_to(std::size_t at) noexcept {
        buffer_mut front;
        (void)aegis_buffer_mut_split_to(&raw_, at, &front.raw_);
        return front;
    }
    /** The bytes and the room from `at` on: see aegis_buffer_mut_split_off. */
    buffer_mut split_off(std::size_t at) noexcept {
        buffer_mut back;
        (void)aegis_buffer_mut_split_off(&raw_, at, &back.raw_);
        return back;
    }
    /** Joins a writer that lies behind this one: see aegis_buffer_mut_unsplit. If they do not
     *  join, both stay as they are. */
    bool unsplit(buffer_mut &back) noexcept {
        return aegis_buffer_mut_unsplit(&raw_, &back.raw_) == AEGIS_OK;
    }
    /** See aegis_buffer_mut_move_budget. */
    bool move_budget(const budget &to, error *reason = nullptr) const noexcept {
        return aegis_buffer_mut_move_budget(&raw_, to.raw(), reason) == AEGIS_OK;
    }
    /** Turns the writer into a view of what was written. This writer is no buffer then. */
    inline buffer freeze() noexcept;

  private:
    friend owner;
    explicit buffer_mut(owner &&taken) noexcept : owner(std::move(taken)) {
    }
};

namespace detail {

struct buffer_form {
    using raw = aegis_buffer;
    static bool holds(const raw &object) noexcept {
        return object.data != nullptr;
    }
    static void end(raw *object) noexcept {
        (void)aegis_buffer_release(object);
    }
};

} // namespace detail

/** A view of bytes that all its copies share (buffer.h). A copy costs one increment. */
class buffer : public owner<buffer, detail::buffer_form> {
  public:
    /** No buffer. */
    buffer() noexcept : owner(raw_type()) {
    }
    buffer(const buffer &other) noexcept : buffer() {
        if (other)
            (void)aegis_buffer_retain(&other.raw_, &raw_);
    }
    buffer(buffer &&other) noexcept = default;
    buffer &operator=(buffer other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }

    /** A view of bytes that live for ever. */
    static buffer of_static(bytes_view bytes) noexcept {
        return from_raw(aegis_buffer_from_static(bytes.data(), bytes.size()));
    }
    /** A copy on the C heap: see aegis_buffer_copy. No buffer on failure. */
    static buffer copy(bytes_view bytes, const budget &charged = budget(),
                       error *reason = nullptr) noexcept {
        buffer made;
        (void)aegis_buffer_copy(&made.raw_, bytes.data(), bytes.size(), charged.raw(), reason);
        return made;
    }
    /** A view of bytes that the caller lends: see aegis_buffer_wrap.
     *  @param release  called without arguments by the thread that gives the last view up; must
     *                  not throw. It is not called if the result is no buffer.
     */
    template <class F> static buffer wrap(bytes_view bytes, F release, error *reason = nullptr) {
        buffer made;
        F *kept = new (std::nothrow) F(std::move(release));
        if (kept == nullptr) {
            detail::tell(reason, detail::no_memory(AEGIS_E_OUT_OF_MEMORY, sizeof(F), alignof(F)));
            return made;
        }
        auto run = [](void *context) noexcept {
            std::unique_ptr<F> ends(static_cast<F *>(context));
            (*ends)();
        };
        if (aegis_buffer_wrap(&made.raw_, bytes.data(), bytes.size(), run, kept, reason) !=
            AEGIS_OK)
            delete kept;
        return made;
    }
    /** A view of the elements of a container, which the buffer takes over and destroys at the
     *  end: a std::string or a std::vector of numbers. Nothing is copied.
     *  @param container  elements in one piece, without pointers to free.
     *  @return           no buffer on failure; the container is lost then.
     */
    template <class Container> static buffer take(Container container, error *reason = nullptr) {
        using element = typename Container::value_type;
        static_assert(std::is_trivially_copyable<element>::value,
                      "a buffer has the bytes of its elements");
        std::unique_ptr<Container> kept(new (std::nothrow) Container(std::move(container)));
        if (kept == nullptr) {
            detail::tell(reason, detail::no_memory(AEGIS_E_OUT_OF_MEMORY, sizeof(Container),
                                                   alignof(Container)));
            return buffer();
        }
        buffer made;
        if (aegis_buffer_wrap_sized(&made.raw_, kept->data(), kept->size() * sizeof(element),
                                    kept->capacity() * sizeof(element), detail::destroy<Container>,
                                    kept.get(), reason) == AEGIS_OK)
            (void)kept.release();
        return made;
    }
    /** A file's bytes: see aegis_buffer_map_file. No buffer on failure.
     *  @param os_error  the system's number of the error. NULL: not wanted.
     */
    static buffer map_file(const char *path, int *os_error = nullptr,
                           error *reason = nullptr) noexcept {
        buffer made;
        aegis_status status = aegis_buffer_map_file(&made.raw_, path, os_error);
        if (status != AEGIS_OK)
            detail::tell(reason, detail::no_memory(status, 0, 0));
        return made;
    }

    /** How many bytes. */
    std::size_t size() const noexcept {
        return raw_.length;
    }
    /** The first byte. */
    const std::byte *data() const noexcept {
        return bytes().data();
    }
    const std::byte *begin() const noexcept {
        return bytes().begin();
    }
    const std::byte *end() const noexcept {
        return bytes().end();
    }
    /** One byte; `index` is not checked. */
    const std::byte &operator[](std::size_t index) const noexcept {
        return bytes()[index];
    }
    /** The bytes, good as long as this buffer or a copy. */
    bytes_view bytes() const noexcept {
        return {raw_.data, raw_.length};
    }
    /** The bytes as text. */
    std::string_view text() const noexcept {
        return bytes().text();
    }
    /** A view of a part: see aegis_buffer_slice.
     *  @param start  the first byte.
     *  @param end    one past the last byte.
     *  @return       no buffer if that is outside of this one.
     */
    buffer slice(std::size_t start, std::size_t end) const noexcept {
        buffer part;
        (void)aegis_buffer_slice(&raw_, start, end, &part.raw_);
        return part;
    }
    /** The bytes before `at`, which this view then no longer has: see aegis_buffer_split_to. No
     *  buffer if `at` is too large. */
    buffer split_to(std::size_t at) noexcept {
        buffer front;
        (void)aegis_buffer_split_to(&raw_, at, &front.raw_);
        return front;
    }
    /** The bytes from `at` on: see aegis_buffer_split_off. */
    buffer split_off(std::size_t at) noexcept {
        buffer back;
        (void)aegis_buffer_split_off(&raw_, at, &back.raw_);
        return back;
    }
    /** Joins a view that lies behind this one: see aegis_buffer_unsplit. If they do not join,
     *  both stay as they are. */
    bool unsplit(buffer &back) noexcept {
        return aegis_buffer_unsplit(&raw_, &back.raw_) == AEGIS_OK;
    }
    /** Whether this is the only view of its bytes. */
    bool is_unique() const noexcept {
        return aegis_buffer_is_unique(&raw_);
    }
    /** The bytes of memory that this view keeps: see aegis_buffer_retained_bytes. */
    std::size_t retained_bytes() const noexcept {
        return aegis_buffer_retained_bytes(&raw_);
    }
    /** Turns the view into a writer, of a copy if others share the bytes: see
     *  aegis_buffer_into_mut. No buffer on failure; then this view is unchanged. */
    buffer_mut into_mut(const budget &charged = budget(), error *reason = nullptr) noexcept {
        buffer_mut writer;
        (void)aegis_buffer_into_mut(&raw_, writer.raw(), charged.raw(), reason);
        return writer;
    }
    /** Copies a small part of large memory, so that it keeps less: see aegis_buffer_compact. */
    bool compact(const budget &charged = budget(), error *reason = nullptr) noexcept {
        return aegis_buffer_compact(&raw_, charged.raw(), reason) == AEGIS_OK;
    }
    /** See aegis_buffer_move_budget. */
    bool move_budget(const budget &to, error *reason = nullptr) const noexcept {
        return aegis_buffer_move_budget(&raw_, to.raw(), reason) == AEGIS_OK;
    }

  private:
    friend owner;
    explicit buffer(owner &&taken) noexcept : owner(std::move(taken)) {
    }
};

inline buffer buffer_mut::freeze() noexcept {
    return buffer::from_raw(aegis_buffer_mut_freeze(&raw_));
}

/** Turns an arena into a buffer, which finishes the arena at its end: see
 *  aegis_buffer_from_arena.
 *  @param from   empty afterwards.
 *  @param bytes  in the arena.
 *  @return       no buffer on failure; the arena is then as it was.
 */
inline buffer freeze(arena &from, bytes_view bytes, error *reason = nullptr) noexcept {
    aegis_buffer made;
    if (aegis_buffer_from_arena(&made, from.raw(), bytes.data(), bytes.size(), reason) == AEGIS_OK)
        (void)from.into_raw();
    return buffer::from_raw(made);
}

namespace detail {

struct buffer_pool_form {
    using raw = aegis_buffer_pool;
    static bool holds(const raw &object) noexcept {
        return object.shared != nullptr;
    }
    static void end(raw *object) noexcept {
        aegis_buffer_pool_release(object);
    }
};

} // namespace detail

/** A handle to a pool of buffers (buffer_pool.h). A copy is one more handle to the same pool.
 */
class buffer_pool : public owner<buffer_pool, detail::buffer_pool_form> {
  public:
    /** No pool. */
    buffer_pool() noexcept : owner(raw_type()) {
    }
    /** A pool of this many buffers of one size. Empty on failure. */
    buffer_pool(std::size_t buffer_bytes, std::size_t buffer_count,
                error *reason = nullptr) noexcept
        : buffer_pool(one_class(buffer_bytes, buffer_count), aegis_buffer_pool_options(), reason) {
    }
    /** A pool of the options of the C interface. Empty on failure. If `options` has no place for
     *  the error, it is written to `reason`. */
    explicit buffer_pool(aegis_buffer_pool_options options, error *reason = nullptr) noexcept {
        options.error = options.error != nullptr ? options.error : reason;
        (void)aegis_buffer_pool_init(&raw_, &options);
    }
    buffer_pool(const buffer_pool &other) noexcept : buffer_pool() {
        if (other)
            (void)aegis_buffer_pool_retain(&other.raw_, &raw_);
    }
    buffer_pool(buffer_pool &&other) noexcept = default;
    buffer_pool &operator=(buffer_pool other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }

    /** Takes an empty writer: see aegis_buffer_pool_get. No buffer on failure. */
    buffer_mut get(std::size_t min_capacity_bytes = 0, error *reason = nullptr) const noexcept {
        buffer_mut writer;
        (void)aegis_buffer_pool_get(&raw_, writer.raw(), min_capacity_bytes, reason);
        return writer;
    }
    /** The same, and waits up to a time: see aegis_buffer_pool_get_timeout. */
    buffer_mut get_timeout(std::size_t min_capacity_bytes, std::uint64_t timeout_ns,
                           error *reason = nullptr) const noexcept {
        buffer_mut writer;
        (void)aegis_buffer_pool_get_timeout(&raw_, writer.raw(), min_capacity_bytes, timeout_ns,
                                            reason);
        return writer;
    }
    /** Gives slabs back: see aegis_buffer_pool_trim. */
    void trim(std::size_t keep_count) const noexcept {
        aegis_buffer_pool_trim(&raw_, keep_count);
    }
    /** Gives slabs back that were not used: see aegis_buffer_pool_trim_idle. */
    void trim_idle() const noexcept {
        aegis_buffer_pool_trim_idle(&raw_);
    }
    /** The statistics. */
    aegis_buffer_pool_stats stats() const noexcept {
        aegis_buffer_pool_stats stats;
        aegis_buffer_pool_get_stats(&raw_, &stats);
        return stats;
    }

  private:
    static aegis_buffer_class one_class(std::size_t buffer_bytes,
                                        std::size_t buffer_count) noexcept {
        return {buffer_bytes, buffer_count, 0};
    }
    buffer_pool(const aegis_buffer_class &only, aegis_buffer_pool_options options,
                error *reason) noexcept {
        options.classes = &only;
        options.class_count = 1;
        options.error = reason;
        (void)aegis_buffer_pool_init(&raw_, &options);
    }

    friend owner;
    explicit buffer_pool(owner &&taken) noexcept : owner(std::move(taken)) {
    }
};

#endif

} // namespace AEGIS_I_VERSIONED
} // namespace aegis

#if defined(__cpp_lib_span) && defined(__cpp_lib_concepts)
/* A view owns nothing, so its iterators outlive it, and a copy is O(1). */
template <class Byte>
inline constexpr bool std::ranges::enable_borrowed_range<aegis::basic_bytes_view<Byte>> = true;
template <class Byte>
inline constexpr bool std::ranges::enable_view<aegis::basic_bytes_view<Byte>> = true;
#endif

#endif
