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
    Access other_read;          // by another thread than `read`
    Access added, other_added;  // atomically
};

/// Notes an access besides one by another thread since the last barrier.
inline void note(Access& last, Access& other) {
    bool two = last.any && last.thread != block->current && last.barriers == block->barriers;
    (two ? other : last) = Access::now();
}

template <class T>
class Reference {
  public:
    Reference(Element<T>& element, const char* name, std::size_t index)
        : element_(element), name_(name), index_(index) {}

    operator T() const {
        if (!element_.written.any) fail("%s[%zu] is read before it was written", name_, index_);
        for (const Access* other : {&element_.written, &element_.added, &element_.other_added})
            if (other->races())
                fail("%s[%zu] is read while thread %u writes it: a barrier is missing", name_,
                     index_, other->thread);
        note(element_.read, element_.other_read);
        return element_.value;
    }
    Reference& operator=(T value) {
        refuse_races({&element_.written, &element_.read, &element_.other_read, &element_.added,
                      &element_.other_added});
        element_.value = value;
        element_.written = Access::now();
        return *this;
    }
    Reference& operator=(const Reference& other) { return *this = T(other); }

    /// What `atomicAdd` takes.
    Reference* operator&() { return this; }
    T add(T number) {
        refuse_races({&element_.written, &element_.read, &element_.other_read});
        if (!element_.written.any && !element_.added.any)
            fail("%s[%zu] is added to before it was written", name_, index_);
        note(element_.added, element_.other_added);
        T before = element_.value;
        element_.value += number;
        return before;
    }

  private:
    void refuse_races(std::initializer_list<const Access*> others) const {
        for (const Access* other : others)
            if (other->races())
                fail("%s[%zu] is written while thread %u uses it: a barrier is missing", name_,
                     index_, other->thread);
    }

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
