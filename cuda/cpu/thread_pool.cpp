#include "thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
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
        if (const char* wanted = std::getenv("GABORSPLAT_THREADS")) return std::atoi(wanted);
        return static_cast<int>(std::thread::hardware_concurrency());
    }

    void start(int count) {
        stopping_ = false;
        for (int i = 1; i < std::max(count, 1); ++i)
            workers_.emplace_back([this, seen = generation_] { work(seen); });
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
        for (std::int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;)
            task_(context_, i);
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
    std::atomic<std::int64_t> next_{0};
    int busy_ = 0;
    std::uint64_t generation_ = 0;
    bool stopping_ = false;
};

ThreadPool& pool() {
    // Never destroyed: joining threads while the process exits can wait for a thread that is gone.
    static ThreadPool* instance = new ThreadPool;
    return *instance;
}

}  // namespace

void run_parallel(std::int64_t count, Task task, const void* context) {
    pool().run(count, task, context);
}
int threads() { return pool().threads(); }
void set_threads(int count) { pool().resize(count); }

}  // namespace gaborsplat
