// Shared memory that knows who has touched it and when. Included by emulator.h, whose `block` it
// uses.
#pragma once

namespace emulator {

/// One element of shared memory, with who has touched it and when.
struct Access {
    unsigned thread;
    std::uint64_t barriers, votes;
    bool any = false;

    static Access now() {
        return {block->current, block->barriers, block->votes[block->current / kWarpSize], true};
    }
    /// Whether the current thread may not touch what this access touched.
    bool races() const {
        if (!any || thread == block->current || barriers != block->barriers) return false;
        bool same_warp = thread / kWarpSize == block->current / kWarpSize;
        return !(same_warp && votes != block->votes[thread / kWarpSize]);
    }
};
template <class T>
struct Element {
    T value;
    Access written, read;
    Access other_read;  // by another thread than `read`
};

template <class T>
class Reference {
  public:
    Reference(Element<T>& element, const char* name, std::size_t index)
        : element_(element), name_(name), index_(index) {}

    operator T() const {
        if (!element_.written.any) fail("%s[%zu] is read before it was written", name_, index_);
        if (element_.written.races())
            fail("%s[%zu] is read while thread %u writes it: a barrier is missing", name_, index_,
                 element_.written.thread);
        Access& seen = element_.read.any && element_.read.thread != block->current &&
                               element_.read.barriers == block->barriers
                           ? element_.other_read
                           : element_.read;
        seen = Access::now();
        return element_.value;
    }
    Reference& operator=(T value) {
        for (const Access* other : {&element_.written, &element_.read, &element_.other_read})
            if (other->races())
                fail("%s[%zu] is written while thread %u uses it: a barrier is missing", name_,
                     index_, other->thread);
        element_.value = value;
        element_.written = Access::now();
        return *this;
    }
    Reference& operator=(const Reference& other) { return *this = T(other); }

  private:
    Element<T>& element_;
    const char* name_;
    std::size_t index_;
};

template <class T, std::size_t Count>
class Shared {
  public:
    using Storage = std::vector<Element<T>>;

    Shared(const char* name, int site) : name_(name) {
        for (std::size_t i = 0; i < block->shared_sites.size(); ++i)
            if (block->shared_sites[i] == site) {
                elements_ = reinterpret_cast<Element<T>*>(block->shared[i].get());
                return;
            }
        block->shared_sites.push_back(site);
        block->shared_bytes += Count * sizeof(T);
        if (block->shared_bytes > 49152)
            fail("%s: %zu bytes of static shared memory, of at most 49152", name,
                 block->shared_bytes);
        block->shared.emplace_back(new char[Count * sizeof(Element<T>)]);
        elements_ = reinterpret_cast<Element<T>*>(block->shared.back().get());
        for (std::size_t i = 0; i < Count; ++i) new (elements_ + i) Element<T>{};
    }
    Reference<T> operator[](std::size_t i) const {
        if (i >= Count) fail("%s[%zu] is outside its %zu elements", name_, i, Count);
        return {elements_[i], name_, i};
    }

  private:
    const char* name_;
    Element<T>* elements_;
};

}  // namespace emulator
