/* Prints sizes, places and numbers by name: those of python_abi.h, or with -DREAL those of Python.h and of NumPy's headers. */
#ifdef REAL
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/arrayobject.h>
typedef PyArrayObject_fields array;
enum {
    EL_CONTIGUOUS = NPY_ARRAY_C_CONTIGUOUS,
    EL_ALIGNED = NPY_ARRAY_ALIGNED,
    EL_WRITEABLE = NPY_ARRAY_WRITEABLE,
    EL_NPY_FLOAT = NPY_FLOAT,
    EL_NPY_DOUBLE = NPY_DOUBLE
};
#else
#include "python_abi.h"
typedef el_array array;
#endif
#include <stddef.h>
#include <stdio.h>

#define NUMBER(name) printf("%s %ld\n", #name, (long)(name));
#define SIZE(type) printf("%s %zu\n", #type, sizeof(type));
#define FIELD(type, field) printf("%s.%s %zu %zu\n", #type, #field, offsetof(type, field), sizeof(((type *)0)->field));

int main(void) {
    SIZE(Py_ssize_t) SIZE(PyObject) SIZE(PyMethodDef) SIZE(PyType_Slot) SIZE(PyType_Spec) SIZE(PyModuleDef_Slot) SIZE(PyModuleDef)
    FIELD(PyObject, ob_type)
    FIELD(PyMethodDef, ml_name) FIELD(PyMethodDef, ml_meth) FIELD(PyMethodDef, ml_flags) FIELD(PyMethodDef, ml_doc)
    FIELD(PyType_Slot, slot) FIELD(PyType_Slot, pfunc)
    FIELD(PyType_Spec, name) FIELD(PyType_Spec, basicsize) FIELD(PyType_Spec, itemsize) FIELD(PyType_Spec, flags)
    FIELD(PyType_Spec, slots)
    FIELD(PyModuleDef_Slot, slot) FIELD(PyModuleDef_Slot, value)
    FIELD(PyModuleDef, m_base) FIELD(PyModuleDef, m_base.m_init) FIELD(PyModuleDef, m_base.m_index) FIELD(PyModuleDef, m_base.m_copy)
    FIELD(PyModuleDef, m_name) FIELD(PyModuleDef, m_doc) FIELD(PyModuleDef, m_size) FIELD(PyModuleDef, m_methods)
    FIELD(PyModuleDef, m_slots) FIELD(PyModuleDef, m_traverse) FIELD(PyModuleDef, m_clear) FIELD(PyModuleDef, m_free)
    NUMBER(METH_VARARGS) NUMBER(METH_KEYWORDS) NUMBER(METH_NOARGS) NUMBER(METH_FASTCALL) NUMBER(Py_mod_exec)
    NUMBER(Py_tp_clear) NUMBER(Py_tp_dealloc) NUMBER(Py_tp_methods) NUMBER(Py_tp_new) NUMBER(Py_tp_traverse)
    NUMBER(Py_TPFLAGS_HAVE_GC)
    FIELD(array, data) FIELD(array, nd) FIELD(array, dimensions) FIELD(array, strides) FIELD(array, base) FIELD(array, descr)
    FIELD(array, flags)
    NUMBER(EL_CONTIGUOUS) NUMBER(EL_ALIGNED) NUMBER(EL_WRITEABLE) NUMBER(EL_NPY_FLOAT) NUMBER(EL_NPY_DOUBLE)
    return 0;
}
