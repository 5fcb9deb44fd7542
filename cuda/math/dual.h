// Forward-mode derivatives: a value carried together with its N partial derivatives.
#pragma once

#include "scalar.h"

GABORSPLAT_BEGIN

template <class T, int N>
struct Dual {
    T value;
    T partial[N];

    HD Dual() : Dual(0) {}
    template <class C>
    HD explicit Dual(C constant) : value(constant) {
        for (int i = 0; i < N; ++i) partial[i] = T(0);
    }

    /// Independent variable number `index`.
    HD static Dual variable(T value, int index) {
        Dual x(value);
        x.partial[index] = T(1);
        return x;
    }
};

template <class T, int N>
HD Dual<T, N> operator+(Dual<T, N> a, const Dual<T, N>& b) {
    a.value = a.value + b.value;
    for (int i = 0; i < N; ++i) a.partial[i] = a.partial[i] + b.partial[i];
    return a;
}
template <class T, int N>
HD Dual<T, N> operator-(Dual<T, N> a, const Dual<T, N>& b) {
    a.value = a.value - b.value;
    for (int i = 0; i < N; ++i) a.partial[i] = a.partial[i] - b.partial[i];
    return a;
}
template <class T, int N>
HD Dual<T, N> operator*(const Dual<T, N>& a, const Dual<T, N>& b) {
    Dual<T, N> product(a.value * b.value);
    for (int i = 0; i < N; ++i)
        product.partial[i] = a.value * b.partial[i] + b.value * a.partial[i];
    return product;
}

GABORSPLAT_END
