#include "thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace gaborsplat {
namespace {

class ThreadPool {
  public:
    ThreadPool() { start(initial_threads()); }
    ~ThreadPool() { stop(); }

    void run(std::int64_t count, Task task, const void* context) {
        std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
        if (!owner || workers_.empty() || count < 2) {
            for (std::int64_t i = 0; i < count; ++i) task(context, i);
            return;
        }
        {
            std::lock_guard<std::mutex> lock(mutex_);
            task_ = task;
            context_ = context;
            count_ = count;
            next_.store(0, std::memory_order_relaxed);
            busy_ = static_cast<int>(workers_.size());
            ++generation_;
        }
        wake_.notify_all();
        take_indices();
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return busy_ == 0; });
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

    int threads() {
        std::lock_guard<std::mutex> owner(owner_);
        return static_cast<int>(workers_.size()) + 1;
    }

    void resize(int count) {
        std::lock_guard<std::mutex> owner(owner_);
        stop();
        start(count);
    }

  private:
    static int initial_threads() {
        const char* wanted = std::getenv("GABORSPLAT_THREADS");
        if (!wanted || !*wanted) return static_cast<int>(std::thread::hardware_concurrency());
        char* end = nullptr;
        long count = std::strtol(wanted, &end, 10);
        if (*end || count < 1 || count > 1024)
            throw std::invalid_argument("GABORSPLAT_THREADS must be a number from 1 to 1024, not " +
                                        std::string(wanted));
        return static_cast<int>(count);
    }

    /// With fewer threads where the system refuses more.
    void start(int count) {
        stopping_ = false;
        try {
            for (int i = 1; i < std::max(count, 1); ++i)
                workers_.emplace_back([this, seen = generation_] { work(seen); });
        } catch (const std::system_error&) {
        }
    }

    void stop() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) worker.join();
        workers_.clear();
    }

    void take_indices() {
        try {
            for (std::int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;)
                task_(context_, i);
        } catch (...) {
            next_.store(count_, std::memory_order_relaxed);
            std::lock_guard<std::mutex> lock(mutex_);
            if (!error_) error_ = std::current_exception();
        }
    }

    void work(std::uint64_t seen) {
        for (;;) {
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
                if (stopping_) return;
                seen = generation_;
            }
            take_indices();
            std::lock_guard<std::mutex> lock(mutex_);
            if (--busy_ == 0) done_.notify_one();
        }
    }

    std::mutex owner_;  // held by whoever runs on the pool
    std::mutex mutex_;  // guards what follows, but for next_
    std::condition_variable wake_, done_;
    std::vector<std::thread> workers_;
    Task task_ = nullptr;
    const void* context_ = nullptr;
    std::int64_t count_ = 0;
    std::exception_ptr error_;  // the first one that a task threw
    std::atomic<std::int64_t> next_{0};
    int busy_ = 0;
    std::uint64_t generation_ = 0;
    bool stopping_ = false;
};

// Never destroyed: joining threads while the process exits can wait for a thread that is gone.
ThreadPool* instance = nullptr;
std::mutex* instance_mutex = new std::mutex;

/// A forked child has none of its parent's threads, and locks that nobody will open: it starts
/// over.
void forget_pool() {
    instance = nullptr;
    instance_mutex = new std::mutex;
}

ThreadPool& pool() {
    std::lock_guard<std::mutex> lock(*instance_mutex);
    static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
    static_cast<void>(registered);
    if (!instance) instance = new ThreadPool;
    return *instance;
}

}  // namespace

void run_parallel(std::int64_t count, Task task, const void* context) {
    pool().run(count, task, context);
}
int threads() { return pool().threads(); }
void set_threads(int count) { pool().resize(count); }

}  // namespace gaborsplat
