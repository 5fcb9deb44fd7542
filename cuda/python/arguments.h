// The structs of cuda/passes as Python fills them: by name, with type, size and device checked.
#pragma once

#include <nanobind/nanobind.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "../passes/blend.h"
#include "../passes/loss.h"
#include "../passes/optimizer.h"
#include "../passes/project.h"
#include "../passes/shade.h"
#include "../passes/sort.h"
#include "../passes/tiles.h"
#include "sizes.h"
#include "structs.h"
#include "tensor.h"

namespace gaborsplat {

/// An array of a struct: the tensor that owns it, if there is one, and how many numbers it has.
struct HeldArray {
    nb::object owner;
    std::int64_t count = 0;
};

/// Where an array without numbers lies: a null pointer means that there is none.
alignas(16) inline char kNoNumbers[16];

/// Fills a struct from Python's arguments.
class Filler {
  public:
    /// Without `all`, fields that no argument names keep what they have. `held` has the arrays in
    /// the order of their fields.
    Filler(const char* pass, const FieldNames& names, nb::handle arguments, bool all,
           std::vector<HeldArray>& held)
        : pass_(pass), names_(names), arguments_(arguments), all_(all), held_(held) {}

    int device() const { return device_; }
    /// Whether an array with numbers stayed as it was.
    bool kept() const { return kept_; }

    /// Throws unless every argument was a field's.
    void finish() const {
        if (used_ == PyDict_Size(arguments_.ptr())) return;
        for (auto [key, value] : nb::borrow<nb::dict>(arguments_)) {
            bool known = false;
            for (std::size_t i = 0; i < next_ && !known; ++i)
                known = PyUnicode_Compare(names_[i], key.ptr()) == 0;
            if (!known) fail(nb::type_error, "has no argument " + nb::cast<std::string>(key));
        }
    }

    // What `for_each_field` calls.
    template <class T>
    void size(const char* name, T& out, bool needed) {
        if (nb::handle given = take(name, needed)) out = whole<T>(name, given);
        if (out < 0) fail(nb::value_error, std::string(name) + " is negative");
    }
    template <class T>
    void value(const char* name, T& out, bool needed) {
        nb::handle given = take(name, needed);
        if (!given) return;
        if constexpr (std::is_integral_v<T>)
            out = whole<T>(name, given);
        else
            out = held_in<T>(real(name, given));
    }
    template <class T, std::size_t Count>
    void values(const char* name, T (&out)[Count]) {
        nb::handle given = take(name, true);
        if (!given) return;
        if (nb::len(given) != Count)
            fail(nb::value_error, std::string(name) + " holds " + std::to_string(nb::len(given)) +
                                      " numbers, not " + std::to_string(Count));
        for (std::size_t i = 0; i < Count; ++i) out[i] = held_in<T>(real(name, given[i]));
    }
    template <class T>
    void array(const char* name, T*& out, Access access, std::initializer_list<std::int64_t> shape,
               const char* described) {
        bool needed = access == Access::kRead || access == Access::kWrite;
        HeldArray& held = held_[array_++];
        std::int64_t count = 1;
        for (std::int64_t size : shape) count *= size;
        nb::handle given = take(name, needed);
        if (!given) {
            if (out && held.count != count)
                fail(nb::value_error,
                     std::string(name) + " must be set too: its shape is another one");
            kept_ |= out && count > 0;
            return;
        }
        if (given.is_none() && !needed) {
            out = nullptr;
            held = {};
            return;
        }
        using Element = std::remove_const_t<T>;
        void* data = checked(name, given, kNumber<Element>, count, described);
        out = static_cast<T*>(count ? data : kNoNumbers);
        held = {nb::borrow(given), count};
    }
    template <class Part>
    void part(Part& part) {
        part.for_each_field(*this);
    }
    template <template <class> class O, class S>
    void options(const char* name, O<S>& out) {
        nb::handle given = take(name, true);
        if (!given) return;
        if (!nb::isinstance<Options<O>>(given))
            fail(nb::type_error, std::string(name) + " is of another type");
        O<double> source = nb::cast<const Options<O>&>(given).values;
        NumberList from, to;
        source.for_each_field(from);
        out.for_each_field(to);
        for (std::size_t i = 0; i < from.doubles.size(); ++i) {
            if constexpr (std::is_same_v<S, float>)
                *to.floats[i] = held_in<float>(*from.doubles[i]);
            else
                *to.doubles[i] = *from.doubles[i];
        }
        for (std::size_t i = 0; i < from.integers.size(); ++i) *to.integers[i] = *from.integers[i];
    }

  private:
    [[noreturn]] void fail(nb::builtin_exception (*error)(const char*),
                           const std::string& what) const {
        throw error((std::string(pass_) + ": " + what).c_str());
    }

    /// The argument of the next field; null where there is none.
    nb::handle take(const char* name, bool needed) {
        PyObject* given = PyDict_GetItemWithError(arguments_.ptr(), names_[next_++]);
        if (given)
            ++used_;
        else if (PyErr_Occurred())
            nb::raise_python_error();
        else if (needed && all_)
            fail(nb::type_error, std::string("needs ") + name);
        return given;
    }

    template <class T>
    T whole(const char* name, nb::handle given) const {
        long long number = PyLong_AsLongLong(given.ptr());
        bool failed = number == -1 && PyErr_Occurred();
        if (failed) PyErr_Clear();
        if (failed || number < std::numeric_limits<T>::min() ||
            number > std::numeric_limits<T>::max())
            fail(nb::type_error, std::string(name) + " must be a whole number that fits");
        return static_cast<T>(number);
    }

    double real(const char* name, nb::handle given) const {
        double number = PyFloat_AsDouble(given.ptr());
        if (number == -1.0 && PyErr_Occurred()) {
            PyErr_Clear();
            fail(nb::type_error, std::string(name) + " must be a number");
        }
        return number;
    }

    void* checked(const char* name, nb::handle given, Number number, std::int64_t count,
                  const char* shape) {
        TensorView view;
        if (!view_tensor(given, view) || view.number != number || !view.contiguous)
            fail(nb::type_error,
                 std::string(name) + " must be a contiguous tensor of " + name_of(number));
        if (view.count != count)
            fail(nb::value_error, std::string(name) + " holds " + std::to_string(view.count) +
                                      " numbers, not " + std::to_string(count) + " (" + shape +
                                      ")");
        if (view.device == kOtherDevice)
            fail(nb::type_error, std::string(name) + " must be on the CPU or an NVIDIA GPU");
        if (device_ == kOtherDevice) device_ = view.device;
        if (view.device != device_)
            fail(nb::type_error, std::string(name) + " is on another device than other tensors");
        return view.data;
    }

    const char* pass_;
    const FieldNames& names_;
    nb::handle arguments_;
    bool all_;
    std::vector<HeldArray>& held_;
    bool kept_ = false;
    std::size_t next_ = 0, array_ = 0;
    Py_ssize_t used_ = 0;
    int device_ = kOtherDevice;
};

/// The arguments of one call of a pass, whatever the pass and the type of its numbers.
class ArgumentBlock {
  public:
    virtual ~ArgumentBlock() = default;
    /// A number, or an array's address. Throws nb::key_error.
    virtual nb::object field(const std::string& name) const = 0;
    virtual std::vector<ArrayField> arrays() const = 0;
    virtual const void* data() const = 0;
    virtual std::size_t size() const = 0;
    virtual bool is_double() const = 0;
    int device() const { return device_; }

  protected:
    int device_ = kCpu;
};

/// Whether the first array of real numbers that is given has doubles.
inline bool has_doubles(const FieldNames& names, nb::handle arguments) {
    for (PyObject* name : names.reals()) {
        PyObject* given = PyDict_GetItemWithError(arguments.ptr(), name);
        TensorView view;
        if (given && given != Py_None && view_tensor(given, view))
            return view.number == Number::kFloat64;
    }
    return false;
}

template <template <class> class A>
class Block : public ArgumentBlock {
  public:
    Block(const char* pass, nb::handle arguments)
        : pass_(pass), held_(FieldNames::of<A<float>>().arrays()) {
        if (has_doubles(FieldNames::of<A<float>>(), arguments))
            arguments_.template emplace<A<double>>();
        fill(arguments, true);
    }

    /// Changes some fields, or, when that cannot be, none.
    void set(nb::handle arguments) {
        Block changed = *this;
        changed.fill(arguments, false);
        *this = std::move(changed);
    }

    nb::object field(const std::string& name) const override {
        return std::visit([&](auto a) { return find_field(a, name); }, arguments_);
    }
    std::vector<ArrayField> arrays() const override {
        ArrayLister lister;
        std::visit([&](auto a) { a.for_each_field(lister); }, arguments_);
        return lister.found;
    }
    const void* data() const override {
        return std::visit([](const auto& a) { return static_cast<const void*>(&a); }, arguments_);
    }
    std::size_t size() const override { return is_double() ? sizeof(A<double>) : sizeof(A<float>); }
    bool is_double() const override { return arguments_.index() == 1; }

    /// Calls visit(arguments), whose numbers are floats or doubles.
    template <class Visit>
    auto visit(const Visit& visit) const {
        return std::visit(visit, arguments_);
    }

  private:
    void fill(nb::handle arguments, bool all) {
        Filler filler(pass_, FieldNames::of<A<float>>(), arguments, all, held_);
        std::visit([&](auto& a) { a.for_each_field(filler); }, arguments_);
        filler.finish();
        std::visit([](const auto& a) { check_sizes(a); }, arguments_);
        if (filler.device() == kOtherDevice) return;
        if (filler.kept() && filler.device() != device_)
            throw nb::type_error(
                (std::string(pass_) + ": arrays would lie on two devices").c_str());
        device_ = filler.device();
    }

    const char* pass_;
    std::variant<A<float>, A<double>> arguments_;
    std::vector<HeldArray> held_;  // tensors live as long as what points into them
};

}  // namespace gaborsplat
