// What Python is told of the structs of cuda/passes: names, signatures, numbers, arrays.
#pragma once

#include <nanobind/nanobind.h>

#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "../passes/fields.h"
#include "tensor.h"

namespace nb = nanobind;

namespace gaborsplat {

/// Options of a pass, in double precision: what a struct of options is filled from.
template <template <class> class O>
struct Options {
    O<double> values;
};

/// The numbers of a struct of options, one after the other.
struct NumberList {
    std::vector<double*> doubles;
    std::vector<float*> floats;
    std::vector<int*> integers;

    void value(const char*, double& x, bool) { doubles.push_back(&x); }
    void value(const char*, float& x, bool) { floats.push_back(&x); }
    void value(const char*, int& x, bool) { integers.push_back(&x); }
    template <class S, std::size_t Count>
    void values(const char*, S (&x)[Count]) {
        for (S& number : x) value("", number, true);
    }
};

/// What lies beyond the largest float has no float.
template <class S>
S held_in(double x) {
    constexpr double largest = std::numeric_limits<S>::max();
    return static_cast<S>(x > largest ? largest : x < -largest ? -largest : x);
}

/// Names of the fields of a struct, in order, as Python's interned strings; and how they are
/// written in Python.
class FieldNames {
  public:
    template <class Arguments>
    static const FieldNames& of() {
        static const FieldNames names{Arguments{}};
        return names;
    }

    PyObject* operator[](std::size_t i) const { return names_[i]; }
    /// Of the arrays of real numbers.
    const std::vector<PyObject*>& reals() const { return reals_; }
    std::size_t arrays() const { return arrays_; }
    const std::string& signature() const { return signature_; }

    // What `for_each_field` calls.
    template <class T>
    void size(const char* name, T&, bool needed) {
        add(name, "int", needed ? nullptr : "0");
    }
    template <class T>
    void value(const char* name, T&, bool needed) {
        bool whole = std::is_integral_v<T>;
        add(name, whole ? "int" : "float", needed ? nullptr : whole ? "0" : "0.0");
    }
    template <class T, std::size_t Count>
    void values(const char* name, T (&)[Count]) {
        add(name, "Sequence[float]");
    }
    template <class T>
    void array(const char* name, T*&, Access access, std::initializer_list<std::int64_t>,
               const char*) {
        bool needed = access == Access::kRead || access == Access::kWrite;
        add(name, needed ? "Tensor" : "Tensor | None", needed ? nullptr : "None");
        if (std::is_same_v<std::remove_const_t<T>, float>) reals_.push_back(names_.back());
        ++arrays_;
    }
    template <class Part>
    void part(Part& part) {
        part.for_each_field(*this);
    }
    template <template <class> class O, class S>
    void options(const char* name, O<S>&) {
        std::string type = nb::type_name(nb::type<Options<O>>()).c_str();
        add(name, type.substr(type.rfind('.') + 1).c_str());
    }

  private:
    template <class Arguments>
    explicit FieldNames(Arguments arguments) : signature_("def __init__(self, *") {
        arguments.for_each_field(*this);
        signature_ += ") -> None";
    }

    void add(const char* name, const char* type, const char* otherwise = nullptr) {
        names_.push_back(PyUnicode_InternFromString(name));
        signature_ += std::string(", ") + name + ": " + type;
        if (otherwise) signature_ += std::string(" = ") + otherwise;
    }

    std::vector<PyObject*> names_, reals_;
    std::size_t arrays_ = 0;
    std::string signature_;
};

/// Finds one field: a number, or an array's address.
struct FieldFinder {
    const std::string& wanted;
    nb::object found;

    template <class T>
    void number(const char* name, T x) {
        if (wanted == name) found = nb::cast(x);
    }

    // What `for_each_field` calls.
    template <class T>
    void size(const char* name, T& x, bool) {
        number(name, x);
    }
    template <class T>
    void value(const char* name, T& x, bool) {
        number(name, x);
    }
    template <class T, std::size_t Count>
    void values(const char*, T (&)[Count]) {}
    template <class T>
    void array(const char* name, T*& x, Access, std::initializer_list<std::int64_t>, const char*) {
        number(name, reinterpret_cast<std::uintptr_t>(x));
    }
    template <class Part>
    void part(Part& part) {
        part.for_each_field(*this);
    }
    template <class O>
    void options(const char*, O& options) {
        options.for_each_field(*this);
    }
};

/// A field of a struct. Throws nb::key_error.
template <class Arguments>
nb::object find_field(Arguments& arguments, const std::string& name) {
    FieldFinder finder{name, {}};
    arguments.for_each_field(finder);
    if (!finder.found.is_valid()) throw nb::key_error(name.c_str());
    return finder.found;
}

/// An array of a struct.
struct ArrayField {
    std::string name, number;  // of the field, of the type of its numbers
    std::uintptr_t address;    // 0 where there is none
    std::int64_t count;
    bool written;
};

/// Lists the arrays of a struct.
struct ArrayLister {
    std::vector<ArrayField> found;

    // What `for_each_field` calls.
    template <class T>
    void size(const char*, T&, bool) {}
    template <class T>
    void value(const char*, T&, bool) {}
    template <class T, std::size_t Count>
    void values(const char*, T (&)[Count]) {}
    template <class T>
    void array(const char* name, T*& x, Access access, std::initializer_list<std::int64_t> shape,
               const char*) {
        std::int64_t count = 1;
        for (std::int64_t size : shape) count *= size;
        bool written = access == Access::kWrite || access == Access::kWriteOrNull;
        found.push_back({name, name_of(kNumber<std::remove_const_t<T>>),
                         reinterpret_cast<std::uintptr_t>(x), count, written});
    }
    template <class Part>
    void part(Part& part) {
        part.for_each_field(*this);
    }
    template <class O>
    void options(const char*, O&) {}
};

}  // namespace gaborsplat
